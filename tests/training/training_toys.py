"""Small labelled sets whose labels are another universal potential's: the truth is known and cheap."""

from functools import lru_cache

import numpy as np
from pymatgen.core import Lattice, Structure

from sse_screen.potentials import load_calculator
from sse_screen.structures.distortions import random_strain, rattle
from sse_screen.training.labelled import LabelledStructure, LevelOfTheory
from sse_screen.training.sets import TrainingSets

TEACHER = LevelOfTheory(code="chgnet", functional="r2SCAN (teacher)")


def rock_salt(cation="Li", anion="Cl", a=5.14):
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])


@lru_cache
def labelled(n, seed=0, cation="Li", anion="Cl", a=5.14, primitive=True, teacher="chgnet-r2scan"):
    """Strained and rattled cells, each a configuration of its own."""
    rng = np.random.default_rng(seed)
    calculator = load_calculator(teacher)
    crystal = rock_salt(cation, anion, a)
    crystal = crystal.get_primitive_structure() if primitive else crystal
    found = []
    for i in range(n):
        moved = rattle(random_strain(crystal, 0.03, rng), 0.12, rng)
        atoms = moved.to_ase_atoms(msonable=False)
        atoms.calc = calculator
        found.append(
            LabelledStructure(
                tuple(atoms.symbols),
                atoms.positions,
                atoms.cell.array,
                atoms.get_potential_energy(),
                atoms.get_forces(),
                atoms.get_stress(voigt=False),
                TEACHER,
                f"{cation}{anion} {seed} {i}",
                f"toy {seed} {i}",
            )
        )
    return tuple(found)


def small_sets(n_training=6, n_validation=3):
    structures = labelled(n_training + n_validation)
    return TrainingSets(structures[:n_training], structures[n_training:])
