"""Commands on sets of labelled structures: bring, take, clean, split and check them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sse_screen.cli.labelling import label
from sse_screen.exceptions import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sse_screen.training.datasets import Dataset
    from sse_screen.training.extended_xyz import ReadFrames
    from sse_screen.training.labelled import LabelledStructure, LevelOfTheory

app = typer.Typer(
    help="Sets of labelled structures (extended XYZ): label, export, import, clean, split, check.",
    no_args_is_help=True,
)

app.command("label")(label)

File = Annotated[Path, typer.Argument(help="Labelled structures as extended XYZ.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Code = Annotated[str | None, typer.Option(help="Code that made the labels, for a file that does not say it.")]
Functional = Annotated[str | None, typer.Option(help="Functional, for a file that does not say it.")]
Cutoff = Annotated[float | None, typer.Option("--cutoff-eV", help="Plane-wave cutoff in eV.")]
Spacing = Annotated[
    float | None, typer.Option("--k-point-spacing", help="Spacing of k-points in 1/Å, 2π included.")
]
Settings = Annotated[
    list[str] | None, typer.Option("--setting", help="Another setting, name=value; repeatable.")
]


@app.command("export")
def export_command(
    output: Annotated[Path, typer.Argument(help="File to write.")],
    filters: Annotated[
        list[str] | None,
        typer.Option("--filter", "-f", help="field=value, field>=value or field<=value; repeatable."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write labelled structures of the database, all at one level of theory.

    For example:

    sse-screen dataset export licl.extxyz --filter formula=LiCl --filter functional=PBE
    """
    from sse_screen.training.extended_xyz import write_extended_xyz

    structures = _stored(filters or [])
    _one_level(structures)
    write_extended_xyz(output, structures)
    _summary(structures, as_json, output=str(output))


@app.command("import")
def import_command(
    file: File,
    code: Code = None,
    functional: Functional = None,
    cutoff: Cutoff = None,
    k_point_spacing: Spacing = None,
    settings: Settings = None,
    code_version: Annotated[str, typer.Option(help="Version of the code that made the labels.")] = "unknown",
    as_json: Json = False,
) -> None:
    """Store labelled structures in the database; `sse-screen build` makes their collection.

    For example:

    sse-screen dataset import licl.extxyz

    sse-screen dataset import theirs.xyz --code vasp --functional PBE --cutoff-eV 520 --k-point-spacing 0.2
    """
    import logging

    from jobflow import run_locally

    from sse_screen.database.stores import clear_errors, job_store
    from sse_screen.settings import get_settings
    from sse_screen.workflows.datasets import ImportLabelsMaker, store_labelled

    found = _read(file, _level(code, functional, cutoff, k_point_spacing, settings))
    logging.getLogger("jobflow").setLevel(logging.WARNING)
    configuration = get_settings()
    with clear_errors(configuration):
        job = ImportLabelsMaker().make(store_labelled(found.structures, code_version))
        run_locally(job, store=job_store(configuration), log=False, ensure_success=True)
    _summary(found.structures, as_json, notes=found.notes, job=job.uuid)


@app.command("clean")
def clean_command(
    file: File,
    output: Annotated[Path, typer.Option(help="File for the frames that are kept.")],
    rejected: Annotated[
        Path | None, typer.Option(help="File for the others, each with its reason in its comment line.")
    ] = None,
    minimum_distance: Annotated[
        float, typer.Option("--minimum-distance", help="Shortest distance of two atoms in Å.")
    ] = 0.6,
    energy_ranges: Annotated[
        float, typer.Option(help="Energies this many interquartile ranges from their median go.")
    ] = 2.0,
    force_ranges: Annotated[
        float, typer.Option(help="Forces this many interquartile ranges from their median go.")
    ] = 10.0,
    bond_change: Annotated[
        float | None, typer.Option(help="Bonds changed by more than this fraction go; needs --reference.")
    ] = None,
    reference: Annotated[
        list[str] | None, typer.Option(help="PARENT=FILE, the crystal that bonds are counted from.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Reject near atoms and outliers of energy and force, as Marcolongo et al. (2019) do.

    For example:

    sse-screen dataset clean all.extxyz --output kept.extxyz --rejected rejected.extxyz
    """
    from sse_screen.training.cleaning import clean
    from sse_screen.training.extended_xyz import write_extended_xyz

    rules = _rules(
        minimum_distance_A=minimum_distance,
        energy_interquartile_ranges=energy_ranges,
        force_interquartile_ranges=force_ranges,
        bond_change=bond_change,
    )
    found = _read(file)
    _one_level(found.structures)
    result = clean(found.structures, rules, _references(reference or []))
    if not result.kept:
        raise InputError(f"{file}: all {len(result.rejected)} frames were rejected; nothing written")
    write_extended_xyz(output, result.kept)
    if rejected is not None:
        reasons = {r.structure.content_hash: {"rejected": r.reason} for r in result.rejected}
        write_extended_xyz(rejected, [r.structure for r in result.rejected], reasons)
    rows = [
        {"source": r.structure.source, "rule": r.rule, "reason": r.reason, "label": r.structure.content_hash}
        for r in result.rejected
    ]
    if not as_json:
        for row in rows:
            typer.echo(f"rejected {row['source']}: {row['reason']}")
    _summary(result.kept, as_json, notes=(*found.notes, *result.notes), rejected=rows, output=str(output))


@app.command("split")
def split_command(
    file: File,
    output_directory: Annotated[Path, typer.Option(help="Folder for one file a part.")],
    seed: Annotated[int, typer.Option(help="Seed of the random numbers.")],
    fractions: Annotated[
        str, typer.Option(help="Parts and their shares.")
    ] = "train=0.8,validation=0.1,test=0.1",
    by: Annotated[
        str, typer.Option(help="What stays together: parent (configuration), or run for one crystal.")
    ] = "parent",
    unseen_composition: Annotated[
        list[str] | None, typer.Option(help="Reduced formula that goes to a part of its own; repeatable.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Split a set so that no configuration is in two parts; a file split.json says how.

    For example:

    sse-screen dataset split kept.extxyz --output-directory sets --seed 1
    """
    import numpy as np

    from sse_screen.training.datasets import Dataset, split_dataset
    from sse_screen.training.extended_xyz import write_extended_xyz

    if by not in ("parent", "run"):
        raise InputError(f"--by {by}: choose parent or run")
    dataset = Dataset(_read(file).structures)
    shares = _fractions(fractions)
    parts = split_dataset(
        dataset,
        shares,
        np.random.default_rng(seed),
        by=by,  # type: ignore[arg-type]
        unseen_compositions=unseen_composition or (),
    )
    try:
        output_directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--output-directory {output_directory}: {error.strerror}") from error
    for name, part in parts.items():
        write_extended_xyz(output_directory / f"{name}.extxyz", part)
    described: dict[str, Any] = {
        "dataset": dataset.dataset_hash,
        "seed": seed,
        "by": by,
        "fractions": shares,
        "parts": {name: _describe(part) for name, part in parts.items()},
    }
    (output_directory / "split.json").write_text(json.dumps(described, indent=2, ensure_ascii=False))
    if as_json:
        typer.echo(json.dumps(described, ensure_ascii=False))
        return
    for name, part in parts.items():
        typer.echo(f"{name}: {len(part)} structures of {len(part.parents)} parents")


@app.command("check")
def check_command(
    files: Annotated[list[Path], typer.Argument(help="One set, or the parts of a split.")],
    by: Annotated[str, typer.Option(help="What may not be in two files: parent or run.")] = "parent",
    as_json: Json = False,
) -> None:
    """Say what sets hold, and refuse those that share a configuration or a structure.

    For example:

    sse-screen dataset check sets/train.extxyz sets/test.extxyz
    """
    from sse_screen.training.datasets import Dataset, check_split

    if by not in ("parent", "run"):
        raise InputError(f"--by {by}: choose parent or run")
    given: set[Path] = set()
    for path in files:
        if path.resolve() in given:
            raise InputError(f"{path}: given twice; a file is compared with others only")
        given.add(path.resolve())
    parts = {str(path): Dataset(_read(path).structures) for path in files}
    check_split(parts, by=by)  # type: ignore[arg-type]
    described = {name: _describe(part) for name, part in parts.items()}
    if as_json:
        typer.echo(json.dumps(described, ensure_ascii=False))
        return
    for name, part in described.items():
        typer.echo(
            f"{name}: {part['structures']} structures of {len(part['parents'])} parents, "
            f"{', '.join(part['elements'])}, {part['level_of_theory']}, hash {part['dataset'][:12]}"
        )
    if len(parts) > 1:
        typer.echo("nothing is in two of them")


def _read(path: Path, level: LevelOfTheory | None = None) -> ReadFrames:
    from sse_screen.training.extended_xyz import read_extended_xyz

    return read_extended_xyz(path, level)


def _stored(filters: list[str]) -> list[LabelledStructure]:
    from sse_screen.cli.query import _parameter
    from sse_screen.database.queries import compile_query, iterate
    from sse_screen.database.served import served_collection
    from sse_screen.database.stores import clear_errors, connect
    from sse_screen.documents.labelled_structure import LabelledStructureDoc
    from sse_screen.settings import get_settings

    parameters = [*map(_parameter, filters), ("deprecated", "false"), ("limit", "0")]
    checked = compile_query(served_collection("labelled_structure"), parameters, max_limit=None)
    settings = get_settings()
    with clear_errors(settings):
        database = connect(settings)
        found = [
            LabelledStructureDoc.model_validate(document).to_labelled()
            for document in iterate(database, checked)
        ]
    if not found:
        raise InputError("no labelled structure is stored that the filters let pass; run sse-screen build?")
    return found


def _one_level(structures: Iterable[LabelledStructure]) -> None:
    """Refuse to mix levels of theory, and name all that were found."""
    levels: dict[str, tuple[str, int]] = {}
    for structure in structures:
        level = structure.level_of_theory
        described, number = levels.get(level.identifier, (level.describe(), 0))
        levels[level.identifier] = described, number + 1
    if len(levels) > 1:
        listed = "; ".join(f"{name}: {number} of {text}" for name, (text, number) in levels.items())
        raise InputError(
            f"{len(levels)} levels of theory, whose energies cannot be compared ({listed}); choose one, "
            "in the database with --filter level_identifier=..."
        )


def _level(
    code: str | None,
    functional: str | None,
    cutoff_eV: float | None,
    spacing_per_A: float | None,
    settings: list[str] | None,
) -> LevelOfTheory | None:
    from pydantic import ValidationError

    from sse_screen.training.labelled import LevelOfTheory

    if code is None and functional is None:
        return None
    if code is None or functional is None:
        raise InputError("--code and --functional belong together")
    pairs = {name: _number_or_text(value) for name, value in (_pair(t, "--setting") for t in settings or [])}
    try:
        return LevelOfTheory(
            code=code,
            functional=functional,
            cutoff_eV=cutoff_eV,
            k_point_spacing_per_A=spacing_per_A,
            settings=pairs,
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"{first['loc'][0]} = {first['input']!r}: {first['msg']}") from error


def _number_or_text(value: str) -> float | str:
    try:
        return float(value)
    except ValueError:
        return value


def _rules(**values: Any) -> Any:
    from pydantic import ValidationError

    from sse_screen.training.cleaning import CleaningRules

    try:
        return CleaningRules(**values)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"{first['loc'][0]} = {first['input']!r}: {first['msg']}") from error


def _references(entries: list[str]) -> dict[str, Any]:
    from sse_screen.structures.loading import load_structure

    pairs = (_pair(text, "--reference") for text in entries)
    return {parent: load_structure(Path(path)) for parent, path in pairs}


def _fractions(text: str) -> dict[str, float]:
    found = {}
    for part in text.split(","):
        name, value = _pair(part, "--fractions")
        try:
            found[name] = float(value)
        except ValueError:
            raise InputError(f"--fractions {part!r}: {value!r} is no number") from None
    return found


def _pair(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.strip().partition("=")
    if not equals or not name or not value:
        raise InputError(f"{option} {text!r}: write name=value")
    return name, value


def _describe(dataset: Dataset) -> dict[str, Any]:
    return {
        "structures": len(dataset),
        "dataset": dataset.dataset_hash,
        "level_of_theory": dataset.level_of_theory.describe(),
        "elements": list(dataset.elements),
        "parents": dataset.parents,
    }


def _summary(structures: Iterable[LabelledStructure], as_json: bool, **more: Any) -> None:
    from sse_screen.training.datasets import Dataset

    described = _describe(Dataset(tuple(structures)))
    if as_json:
        typer.echo(json.dumps(described | more, ensure_ascii=False))
        return
    for note in more.get("notes", ()):
        typer.echo(f"note: {note}", err=True)
    typer.echo(
        f"{described['structures']} structures of {len(described['parents'])} parents at "
        f"{described['level_of_theory']}; set {described['dataset'][:12]}"
    )
