"""The written reference of collections is up to date, complete and has units."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from sse_screen.cli.main import app
from sse_screen.database.served import served_collections
from sse_screen.documents.base import DerivedDocument
from sse_screen.documents.reference import collections_reference

COMMITTED = Path(__file__).parents[2] / "docs" / "collections.md"
CLASSES = [found.document for found in served_collections().values()]


def test_the_committed_reference_is_up_to_date():
    assert COMMITTED.read_text(encoding="utf-8") == collections_reference(CLASSES), (
        "run: sse-screen collections --write docs/collections.md"
    )


def test_it_names_every_collection_and_field():
    text = collections_reference(CLASSES)
    for document in CLASSES:
        assert f"### {document.collection}\n" in text
        for name in document.model_fields:
            assert f"| `{name}` |" in text


def test_every_link_has_its_section():
    lines = collections_reference(CLASSES).splitlines()
    sections = {line[4:].replace(" ", "-") for line in lines if line.startswith("### ")}
    links = {part.split(")")[0] for line in lines for part in line.split("](#")[1:]}
    assert links
    assert links <= sections


@pytest.mark.parametrize("document", CLASSES)
def test_every_number_has_a_unit_and_every_field_a_meaning(document):
    for field in served_collections()[document.collection].fields.values():
        if field.name.split(".")[0] in DerivedDocument.model_fields or field.array:
            continue
        if "." not in field.name and field.kind in ("number", "integer") and field.name != "seed":
            assert field.unit, field.name
        if "." not in field.name:
            assert field.description, field.name


def test_the_command_prints_and_writes_it(tmp_path):
    printed = CliRunner().invoke(app, ["collections"])
    assert printed.exit_code == 0
    path = tmp_path / "collections.md"
    assert CliRunner().invoke(app, ["collections", "--write", str(path)]).exit_code == 0
    assert path.read_text() + "\n" == printed.stdout
