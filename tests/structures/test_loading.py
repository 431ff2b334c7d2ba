"""Reading crystals; every broken file gets a message with its name."""

from pathlib import Path

import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import DummySpecies, Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.cif import CifWriter
from pymatgen.io.vasp import Poscar

from sse_screen.exceptions import InputError
from sse_screen.structures.loading import check_distances, check_elements, load_structure
from sse_screen.structures.prototypes import build_prototype


@pytest.mark.parametrize("file_name", ["lgps.cif", "POSCAR_lgps", "lgps.vasp", "lgps.extxyz"])
def test_formats(tmp_path: Path, file_name: str) -> None:
    crystal = build_prototype("lgps")
    path = tmp_path / file_name
    if file_name.endswith("cif"):
        CifWriter(crystal).write_file(path)
    elif file_name.endswith("extxyz"):
        AseAtomsAdaptor.get_atoms(crystal).write(path)
    else:
        Poscar(crystal).write_file(path)
    assert StructureMatcher(primitive_cell=False).fit(load_structure(path), crystal)


def test_partial_occupancies_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.cif"
    CifWriter(build_prototype("li6ps5cl-disordered")).write_file(path)
    loaded = load_structure(path)
    assert not loaded.is_ordered
    assert loaded.composition.formula == "Li24 P4 S20 Cl4"


@pytest.mark.parametrize(
    ("file_name", "content", "words"),
    [
        ("empty.cif", "", "is empty"),
        ("blank.cif", "  \n", "is empty"),
        ("noise.cif", "no crystal at all", "cannot be read as a crystal"),
        ("cut.cif", "data_x\n_cell_length_a 4\nloop_\n_atom_site_label\n", "cannot be read as a crystal"),
        ("POSCAR", "Li\n1.0\n4 0 0\n0 4 0\n", "cannot be read as a crystal"),
        ("molecule.xyz", "1\n\nLi 0 0 0\n", "no periodic cell"),
        ("binary.cif", "\x00\x01\x02", "cannot be read as a crystal"),
    ],
)
def test_broken_files(tmp_path: Path, file_name: str, content: str, words: str) -> None:
    path = tmp_path / file_name
    path.write_text(content)
    with pytest.raises(InputError, match=words) as raised:
        load_structure(path)
    assert str(path) in str(raised.value)


def test_missing_file() -> None:
    with pytest.raises(InputError, match=r"/nowhere/x\.cif: there is no such file"):
        load_structure("/nowhere/x.cif")


def test_two_crystals_in_one_file(tmp_path: Path) -> None:
    path = tmp_path / "two.cif"
    text = "".join(str(CifWriter(build_prototype(n))) for n in ("licl", "lif"))
    path.write_text(text)
    with pytest.raises(InputError, match="has 2 crystals"):
        load_structure(path)


def test_atoms_on_one_another(tmp_path: Path) -> None:
    crystal = Structure(Lattice.cubic(5), ["Li", "Cl", "Li"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.05, 0, 0.99]])
    path = tmp_path / "POSCAR"
    Poscar(crystal).write_file(path)
    with pytest.raises(InputError, match=r"sites 0 \(Li\) and \d \(Li\) are 0\.255 Å apart"):
        load_structure(path)


def test_half_occupied_neighbours_may_be_close() -> None:
    close = Structure(Lattice.cubic(5), [{"Li": 0.5}, {"Li": 0.5}], [[0, 0, 0], [0.05, 0, 0]])
    check_distances(close)
    full = Structure(Lattice.cubic(5), [{"Li": 0.8}, {"Li": 0.5}], [[0, 0, 0], [0.05, 0, 0]])
    with pytest.raises(InputError, match="apart"):
        check_distances(full)


def test_placeholder_elements() -> None:
    dummy = Structure(Lattice.cubic(5), ["Li", DummySpecies("X")], [[0, 0, 0], [0.5, 0, 0]])
    with pytest.raises(InputError, match="site 1 holds X"):
        check_elements(dummy, "x.cif")
