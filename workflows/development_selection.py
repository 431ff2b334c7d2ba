"""Choose the orderings of a composition space whose snapshots are labelled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from sse_screen.documents.base import content_hash
from sse_screen.documents.potential_development import ChosenOrdering, LabellingSelection
from sse_screen.documents.relaxation import ConfigurationBatchOutput, RelaxationOutput
from sse_screen.exceptions import InputError
from sse_screen.thermodynamics.boltzmann_selection import boltzmann_draw
from sse_screen.thermodynamics.composition_space import (
    CompositionSpace,
    elemental_space,
    end_member_space,
    place_on_hull,
)
from sse_screen.workflows.development_section import Selection
from sse_screen.workflows.packing import pack_structures, unpack_structures
from sse_screen.workflows.runtime import versions, worker

FloatArray = NDArray[np.float64]
_SAME_COMPOSITION = 1e-9


@dataclass(frozen=True)
class Relaxed:
    """One relaxed ordering of a composition."""

    configuration_id: str
    composition_name: str
    structure: Structure
    energy_eV_per_atom: float


def read_relaxed(outputs: list[Any]) -> tuple[list[Relaxed], int]:
    """Read the relaxed orderings of all compositions.

    Parameters
    ----------
    outputs : list
        Outputs of relaxations and of batches of orderings; None for those that failed.

    Returns
    -------
    list of Relaxed
        The converged ones.
    int
        Number of the others.

    Raises
    ------
    InputError
        If none converged.
    """
    found: list[Relaxed] = []
    unconverged = 0
    for output in (output for output in outputs if output is not None):
        content = output if isinstance(output, dict) else output.model_dump(mode="json")
        if content["kind"] == "configuration_batch":
            batch = ConfigurationBatchOutput.model_validate(content)
            structures = unpack_structures(worker().blobs.get(batch.structures.sha256))
            unconverged += sum(not c.converged for c in batch.configurations)
            found += [
                Relaxed(
                    c.configuration_id,
                    batch.parent_name,
                    structures[c.configuration_id],
                    c.energy_eV_per_cell / batch.n_atoms,
                )
                for c in batch.configurations
                if c.converged
            ]
            continue
        one = RelaxationOutput.model_validate(content)
        unconverged += not one.converged
        if one.converged:
            crystal = Structure.from_dict(one.structure)
            found.append(Relaxed(one.material_id, one.material_name, crystal, one.energy_eV_per_atom))
    if not found:
        raise InputError(f"no ordering of any composition has relaxed ({unconverged} did not converge)")
    return found, unconverged


def energies_above_hull(
    relaxed: list[Relaxed], end_members: list[str] | None
) -> tuple[FloatArray, CompositionSpace]:
    """Give the energies of relaxed orderings above the hull of their space.

    Parameters
    ----------
    relaxed : list of Relaxed
        Orderings of all compositions.
    end_members : list of str, optional
        Formulas that the hull is drawn between; the elements by default.

    Returns
    -------
    numpy.ndarray
        Energies (n,) in eV per atom, in the same order; above the lowest where there is one composition only.
    CompositionSpace
        Their compositions.
    """
    formulas = [one.structure.composition.formula.replace(" ", "") for one in relaxed]
    energies = np.array([one.energy_eV_per_atom for one in relaxed])
    space = end_member_space(formulas, end_members) if end_members else elemental_space(formulas)
    if np.ptp(space.fractions, axis=0).max() < _SAME_COMPOSITION:
        return energies - energies.min(), space
    return place_on_hull(space, energies).energies_above_hull_eV_per_atom, space


def select_orderings(
    outputs: list[Any], end_members: list[str] | None, rule: Selection, seed: int, inputs: list[str]
) -> LabellingSelection:
    """Draw orderings by Boltzmann weight, the lowest of every composition always in (Deng 2025).

    Parameters
    ----------
    outputs : list
        As of :func:`read_relaxed`.
    end_members : list of str, optional
        As of :func:`energies_above_hull`.
    rule : Selection
        How many, at what temperature.
    seed : int
        Seed of the draw.
    inputs : list of str
        uuids of the relaxations.

    Returns
    -------
    LabellingSelection
        Fewer than asked for when there are not so many.
    """
    relaxed, unconverged = read_relaxed(outputs)
    above, space = energies_above_hull(relaxed, end_members)
    drawn = boltzmann_draw(
        above * space.per("formula_unit"),
        space.fractions,
        basis="formula_unit",
        temperature_K=rule.temperature_K,
        n_selected=min(rule.n_orderings, len(relaxed)),
        rng=np.random.default_rng(seed),
    )
    lowest = set(drawn.ground_states.tolist())
    chosen = [
        ChosenOrdering(
            configuration_id=relaxed[i].configuration_id,
            composition_name=relaxed[i].composition_name,
            formula=relaxed[i].structure.composition.reduced_formula,
            n_atoms=len(relaxed[i].structure),
            energy_above_hull_eV_per_atom=max(float(above[i]), 0.0),
            probability=float(drawn.probabilities[i]),
            lowest_of_its_composition=i in lowest,
        )
        for i in drawn.indices.tolist()
    ]
    cells = {relaxed[i].configuration_id: relaxed[i].structure for i in drawn.indices.tolist()}
    identity = {"kind": "labelling_selection", "rule": rule.model_dump(), "seed": seed}
    energies = sorted((one.configuration_id, one.energy_eV_per_atom) for one in relaxed)
    return LabellingSelection(
        calculation_key=content_hash(identity | {"energies": energies, "end_members": end_members}),
        chosen=chosen,
        n_candidates=len(relaxed),
        n_unconverged=unconverged,
        temperature_K=rule.temperature_K,
        seed=seed,
        structures=worker().blobs.put(pack_structures(cells), "application/zstd+json"),
        inputs=inputs,
        versions=versions(),
    )
