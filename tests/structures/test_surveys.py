"""Surveys from a folder or a table; one broken crystal does not stop the others."""

from pathlib import Path

import pytest
from pymatgen.io.cif import CifWriter
from pymatgen.io.vasp import Poscar

from sse_screen.exceptions import InputError
from sse_screen.structures.prototypes import build_prototype
from sse_screen.structures.surveys import read_candidates


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with two good crystals, a broken one and a text file."""
    CifWriter(build_prototype("li3n")).write_file(tmp_path / "a.cif")
    Poscar(build_prototype("licl")).write_file(tmp_path / "POSCAR_b")
    (tmp_path / "broken.cif").write_text("data_nothing\n")
    (tmp_path / "notes.txt").write_text("not a crystal")
    return tmp_path


def test_folder(folder: Path) -> None:
    candidates, rejections = read_candidates(folder)
    assert [c.name for c in candidates] == ["POSCAR_b", "a.cif"]
    assert [(r.name, r.filter) for r in rejections] == [("broken.cif", "readable")]
    assert str(folder / "broken.cif") in rejections[0].reason


def test_table(folder: Path) -> None:
    table = folder / "survey.csv"
    table.write_text(
        "name,file,prototype,energy_above_hull_eV_per_atom,band_gap_eV\n"
        "nitride,a.cif,,0.01,1.1\n"
        ",,lgps,,\n"
        ",,unknown,,\n"
        "gone,gone.cif,,,\n"
        "both,a.cif,lgps,,\n"
        "word,a.cif,,high,\n"
        "none,a.cif,,,nan\n"
    )
    candidates, rejections = read_candidates(table)
    assert [c.name for c in candidates] == ["nitride", "lgps"]
    assert (candidates[0].energy_above_hull_eV_per_atom, candidates[0].band_gap_eV) == (0.01, 1.1)
    assert candidates[1].band_gap_eV is None
    reasons = {r.name: r.reason for r in rejections}
    assert "not known" in reasons["unknown"]
    assert "no such file" in reasons["gone"]
    assert "either a file or a prototype" in reasons["both"]
    assert "band_gap_eV = 'nan' is not a number" in reasons["none"]
    assert "energy_above_hull_eV_per_atom = 'high' is not a number" in reasons["word"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("file,e_hull\na.cif,0\n", "column 'e_hull' is not known"),
        ("name\nx\n", "needs a column 'file' or 'prototype'"),
        ("file\n", "no rows"),
        ("prototype\nli3n\nli3n\n", "'li3n' is there twice"),
        ("file,name\na.cif\n", "line 2 has not 2 cells"),
    ],
)
def test_wrong_tables(folder: Path, content: str, words: str) -> None:
    table = folder / "survey.csv"
    table.write_text(content)
    with pytest.raises(InputError, match=words) as raised:
        read_candidates(table)
    assert str(table) in str(raised.value)


def test_missing_and_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no crystal files"):
        read_candidates(tmp_path)
    with pytest.raises(InputError, match="no such folder or table"):
        read_candidates(tmp_path / "nowhere")
