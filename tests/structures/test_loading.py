"""Reading crystals; every broken file gets a message with its name."""

from pathlib import Path

import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Composition, DummySpecies, Lattice, Structure
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
        (
            "POSCAR_old",
            "x\n1\n4 0 0\n0 4 0\n0 0 4\n1 1\nDirect\n0 0 0\n.5 .5 .5\n",
            "line 6 has no element names",
        ),
        ("POSCAR_flat", "x\n1\n4 0 0\n4 0 0\n0 0 4\nLi\n1\nDirect\n0 0 0\n", "span no volume"),
        (
            "POSCAR_nan",
            "x\n1\n4 0 0\n0 4 0\n0 0 4\nLi\n1\nDirect\n0 0 nan\n",
            r"coordinates \[0\.0, 0\.0, nan\]",
        ),
        ("binary.cif", "\x00\x01\x02", "cannot be read as a crystal"),
    ],
)
def test_broken_files(tmp_path: Path, file_name: str, content: str, words: str) -> None:
    path = tmp_path / file_name
    path.write_text(content)
    with pytest.raises(InputError, match=words) as raised:
        load_structure(path)
    assert str(path) in str(raised.value)


CIF = """data_x
_cell_length_a 4
_cell_length_b 4
_cell_length_c 4
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Li1 Li 0 0 0 LITHIUM
Na1 Na 0 0 0 0.4
Cl1 Cl .5 .5 .5 1
"""


@pytest.mark.parametrize(
    ("occupancy", "words"),
    [
        ("-0.2", "occupancy of Li1 is -0.2; it has to be above 0"),
        ("1.3", "occupancy of Li1 is 1.3"),
        ("0", "occupancy of Li1 is 0;"),
        ("full", "occupancy of Li1 is 'full', not a number"),
        ("0.9", "cannot be read as a crystal .*[Oo]ccupanc"),
    ],
)
def test_impossible_occupancies_in_a_cif(tmp_path: Path, occupancy: str, words: str) -> None:
    path = tmp_path / "x.cif"
    path.write_text(CIF.replace("LITHIUM", occupancy))
    with pytest.raises(InputError, match=words):
        load_structure(path)


def test_unknown_space_group_is_not_taken_as_p1(tmp_path: Path) -> None:
    path = tmp_path / "x.cif"
    path.write_text(CIF.replace("LITHIUM", "0.6").replace("'P 1'", "'P zz'"))
    with pytest.raises(InputError, match=r"name_H-M is 'P zz', which is not known"):
        load_structure(path)


def test_uncertainty_in_an_occupancy_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.cif"
    path.write_text(CIF.replace("LITHIUM", "0.60(2)"))
    assert load_structure(path).composition == Composition("Li0.6Na0.4Cl")


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
