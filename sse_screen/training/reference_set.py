"""Structures that a potential is tested on: the library's crystals, and those of its own labels."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms

from sse_screen.structures.checks import is_disordered
from sse_screen.structures.distortions import random_strain, rattle
from sse_screen.structures.prototypes import build_prototype, list_prototypes
from sse_screen.structures.supercells import supercell_with_minimum_length
from sse_screen.training.labelled import LabelledStructure, LevelOfTheory
from sse_screen.training.metrics import formulas_of

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator
    from pymatgen.core import Structure

_LARGEST_REFERENCE_ATOMS = 32
_STRAIN, _DISPLACEMENT_A = 0.02, 0.1


def library_crystals(elements: Collection[str] | None, maximum_atoms: int) -> dict[str, Structure]:
    """Give ordered crystals of the library.

    Parameters
    ----------
    elements : collection of str or None
        Only crystals of these; any when None.
    maximum_atoms : int
        Only cells up to this size.

    Returns
    -------
    dict
        Structure by name, alphabetical.
    """
    found = {}
    for prototype in list_prototypes():
        structure = build_prototype(prototype.name)
        if is_disordered(structure) or len(structure) > maximum_atoms:
            continue
        structure = structure.copy().remove_oxidation_states()
        symbols = {element.symbol for element in structure.composition.elements}
        if elements is None or symbols <= set(elements):
            found[prototype.name] = structure
    return dict(sorted(found.items()))


def reference_set(
    parent: Calculator, elements: Collection[str] | None, seed: int
) -> tuple[LabelledStructure, ...]:
    """Label strained and displaced crystals of the library with a potential, to see what a child forgets.

    Parameters
    ----------
    parent : ase calculator
        What labels them.
    elements : collection of str or None
        What it knows; anything when None.
    seed : int
        Seed of strains and displacements.

    Returns
    -------
    tuple of LabelledStructure
        One a crystal of at most 32 atoms.
    """
    rng = np.random.default_rng(seed)
    level = LevelOfTheory(code="parent", functional="parent")
    labelled = []
    for name, crystal in library_crystals(elements, _LARGEST_REFERENCE_ATOMS).items():
        moved = rattle(random_strain(crystal, _STRAIN, rng), _DISPLACEMENT_A, rng)
        atoms = moved.to_ase_atoms(msonable=False)
        atoms.calc = parent
        labelled.append(
            LabelledStructure(
                species=tuple(atoms.symbols),
                positions=atoms.positions,
                cell=atoms.cell.array,
                energy_eV=atoms.get_potential_energy(),
                forces_eV_per_A=atoms.get_forces(),
                stress_eV_per_A3=None,
                level_of_theory=level,
                parent_configuration=name,
                source=f"library {name}",
            )
        )
    return tuple(labelled)


def crystals_to_run(
    structures: Sequence[LabelledStructure],
    elements: Collection[str],
    minimum_length_A: float,
    maximum_crystals: int,
) -> dict[str, Atoms]:
    """Choose cells for test runs: of each composition the one of lowest energy, else the library's crystals.

    Parameters
    ----------
    structures : sequence of LabelledStructure
        Labelled structures of the potential; may be empty.
    elements : collection of str
        Elements covered, for crystals of the library.
    minimum_length_A : float
        Cells are repeated up to this width.
    maximum_crystals : int
        At most so many.

    Returns
    -------
    dict
        Cell by formula or name.
    """
    lowest: dict[str, LabelledStructure] = {}
    for structure in structures:
        formula = formulas_of([structure])[0]
        if formula not in lowest or structure.energy_eV_per_atom < lowest[formula].energy_eV_per_atom:
            lowest[formula] = structure
    chosen = {formula: lowest[formula].to_structure() for formula in sorted(lowest)}
    if not chosen:
        chosen = library_crystals(elements, _LARGEST_REFERENCE_ATOMS)
    return {
        name: supercell_with_minimum_length(chosen[name], minimum_length_A).to_ase_atoms(msonable=False)
        for name in list(chosen)[:maximum_crystals]
    }
