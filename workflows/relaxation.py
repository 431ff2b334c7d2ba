"""Jobs that relax: one crystal, or a batch of configurations."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zstandard
from jobflow import Maker, Response, job
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from sse_screen.documents.base import BlobReference, PotentialIdentity
from sse_screen.documents.relaxation import (
    ConfigurationBatchOutput,
    ConfigurationResult,
    RelaxationOutput,
    RelaxationProtocol,
    relaxation_key,
)
from sse_screen.dynamics.batched import relax_together
from sse_screen.dynamics.relaxation import RelaxationResult, relax_structure
from sse_screen.exceptions import SseScreenError
from sse_screen.potentials.calculator import FastCHGNetCalculator
from sse_screen.structures.identity import structure_hash
from sse_screen.structures.orderings import Ordering, OrderingSpace, map_to_sites, ordered_structure
from sse_screen.structures.orderings.occupancy import Occupancy
from sse_screen.workflows.runtime import calculator_for, once, reporter, versions, worker


@dataclass
class RelaxationMaker(Maker):
    """Relax a crystal.

    Parameters
    ----------
    potential : PotentialIdentity
        Resolved at submission; the worker checks the hash.
    protocol : RelaxationProtocol
        Force limit, steps, whether the cell relaxes.
    """

    potential: PotentialIdentity
    protocol: RelaxationProtocol = field(default_factory=RelaxationProtocol)
    name: str = "relaxation"

    @job
    def make(
        self, structure: Structure, material_name: str, composition_spaces: list[str] | None = None
    ) -> Response[RelaxationOutput]:
        """Relax.

        Parameters
        ----------
        structure : Structure
            Ordered crystal.
        material_name : str
            Name in the campaign.
        composition_spaces : list of str, optional
            Spaces whose hull it is made for, such as Cl-Li-O.

        Returns
        -------
        Response
            A :class:`RelaxationOutput`.
        """
        material_id = structure_hash(structure)
        spaces = composition_spaces or []
        key = relaxation_key(material_id + "".join(spaces), self.potential, self.protocol)

        def compute(_folder: Path) -> RelaxationOutput:
            atoms = AseAtomsAdaptor.get_atoms(structure, msonable=False)
            result = relax_structure(atoms, calculator_for(self.potential), self.protocol)
            relaxed = AseAtomsAdaptor.get_structure(result.atoms)
            return RelaxationOutput(
                calculation_key=key,
                material_id=material_id,
                material_name=material_name,
                **composition_fields(structure),
                structure=relaxed.as_dict(),
                potential=self.potential,
                protocol=self.protocol,
                energy_eV_per_atom=result.energy_eV / len(structure),
                maximum_force_eV_per_A=result.maximum_force_eV_per_A,
                converged=result.converged,
                n_steps=result.n_steps,
                composition_spaces=spaces,
                potential_time_s=result.potential_time_s,
                total_time_s=result.total_time_s,
                versions=versions(),
            )

        return once(key, RelaxationOutput, compute)


def composition_fields(structure: Structure) -> dict[str, Any]:
    """Give the fields that every output has of a composition.

    Parameters
    ----------
    structure : Structure
        Ordered crystal.

    Returns
    -------
    dict
        formula, chemical_system, elements, n_atoms.
    """
    composition = structure.composition
    return {
        "formula": composition.reduced_formula,
        "chemical_system": composition.chemical_system,
        "elements": sorted(element.symbol for element in composition.elements),
        "n_atoms": len(structure),
    }


def pack_structures(structures: dict[str, Structure]) -> bytes:
    """Pack structures by id into compressed JSON, the form of a batch in the blob store.

    Parameters
    ----------
    structures : dict
        Structure by id.

    Returns
    -------
    bytes
        zstd-compressed JSON.
    """
    text = json.dumps({key: value.as_dict() for key, value in structures.items()}, sort_keys=True)
    return zstandard.compress(text.encode(), 3)


def unpack_structures(data: bytes) -> dict[str, Structure]:
    """Undo :func:`pack_structures`.

    Parameters
    ----------
    data : bytes
        Packed structures.

    Returns
    -------
    dict
        Structure by id.
    """
    return {key: Structure.from_dict(value) for key, value in json.loads(zstandard.decompress(data)).items()}


def pack_orderings(
    parent: Structure,
    sites: dict[str, dict[str, tuple[int, ...]]],
    occupancy: Occupancy | None = None,
    exclusion_radius_A: float = 0.0,
) -> bytes:
    """Pack orderings of one disordered crystal: the crystal once, and the sites that each ordering takes.

    Parameters
    ----------
    parent : Structure
        The disordered crystal.
    sites : dict
        By ordering id, species to the sites of the crystal that it takes.
    occupancy : mapping, optional
        Numbers of ions of the space they are from.
    exclusion_radius_A : float
        Exclusion radius of that space in ångström.

    Returns
    -------
    bytes
        zstd-compressed JSON.
    """
    space = {"occupancy": occupancy, "exclusion_radius_A": exclusion_radius_A}
    text = json.dumps({"parent": parent.as_dict(), "orderings": sites} | space, sort_keys=True)
    return zstandard.compress(text.encode(), 3)


def unpack_orderings(data: bytes) -> dict[str, Structure]:
    """Build the ordered crystals that :func:`pack_orderings` packed.

    Parameters
    ----------
    data : bytes
        Packed orderings.

    Returns
    -------
    dict
        Ordered crystal by ordering id, sites in the order of the parent, without oxidation states.
    """
    content = json.loads(zstandard.decompress(data))
    parent = Structure.from_dict(content["parent"])
    return {
        name: ordered_structure(parent, sites).remove_oxidation_states()
        for name, sites in content["orderings"].items()
    }


def where_ions_are(packed: bytes, relaxed: dict[str, Structure]) -> dict[str, dict[str, Any]]:
    """Map the ions of relaxed orderings back to sites.

    Parameters
    ----------
    packed : bytes
        From :func:`pack_orderings`.
    relaxed : dict
        Relaxed cell by ordering id.

    Returns
    -------
    dict
        By ordering id, the fields ``n_moved_ions``, ``reached_id`` and ``reached_degeneracy`` of
        :class:`ConfigurationResult`; no id where two ions were nearest to one site.
    """
    content = json.loads(zstandard.decompress(packed))
    crystal = Structure.from_dict(content["parent"])
    space = OrderingSpace(crystal, content["occupancy"], content["exclusion_radius_A"])
    found = {}
    for name, structure in relaxed.items():
        ordering = Ordering(name, 1, 1.0, content["orderings"][name], parent=space.structure)
        mapping = map_to_sites(space, ordering, structure)
        certain = not mapping.contested
        found[name] = {
            "n_moved_ions": len(mapping.moves),
            "reached_id": mapping.id if certain else None,
            "reached_degeneracy": mapping.degeneracy if certain else None,
        }
    return found


@dataclass
class ConfigurationBatchMaker(Maker):
    """Relax a batch of orderings of one disordered parent, restartable in the middle.

    Parameters
    ----------
    potential : PotentialIdentity
        Resolved at submission; the worker checks the hash.
    protocol : RelaxationProtocol
        Fixed cell unless it says otherwise.
    """

    potential: PotentialIdentity
    protocol: RelaxationProtocol = field(
        default_factory=lambda: RelaxationProtocol(relax_cell=False, maximum_force_eV_per_A=0.08)
    )
    name: str = "configurations"

    @job
    def make(
        self, batch: BlobReference, weights: dict[str, tuple[int, float]], parent: dict[str, Any]
    ) -> Response[ConfigurationBatchOutput]:
        """Relax all configurations of the batch.

        Parameters
        ----------
        batch : BlobReference
            From :func:`pack_orderings`.
        weights : dict
            Degeneracy and weight by configuration id.
        parent : dict
            The fields of :class:`ConfigurationBatchOutput` that describe parent and space.

        Returns
        -------
        Response
            A :class:`ConfigurationBatchOutput`.
        """
        tag = hashlib.sha256(json.dumps(parent, sort_keys=True).encode()).hexdigest()
        key = relaxation_key(batch.sha256 + tag, self.potential, self.protocol)

        def compute(folder: Path) -> ConfigurationBatchOutput:
            packed = worker().blobs.get(batch.sha256)
            structures = unpack_orderings(packed)
            done = _relax_each(structures, self, folder)
            relaxed = {name: Structure.from_dict(done[name]["structure"]) for name in sorted(done)}
            reached = where_ions_are(packed, relaxed)
            results = [
                ConfigurationResult(
                    configuration_id=name,
                    degeneracy=weights[name][0],
                    weight=weights[name][1],
                    **done[name]["result"],
                    **reached[name],
                )
                for name in sorted(done)
            ]
            return ConfigurationBatchOutput(
                calculation_key=key,
                **parent,
                **composition_fields(next(iter(structures.values()))),
                potential=self.potential,
                protocol=self.protocol,
                configurations=results,
                structures=worker().blobs.put(pack_structures(relaxed), "application/zstd+json"),
                potential_time_s=sum(d["potential_time_s"] for d in done.values()),
                total_time_s=sum(d["total_time_s"] for d in done.values()),
                versions=versions(),
            )

        return once(key, ConfigurationBatchOutput, compute)


def _relax_each(
    structures: dict[str, Structure], maker: ConfigurationBatchMaker, folder: Path
) -> dict[str, dict[str, Any]]:
    """Relax what the folder's journal does not hold yet; every result is a line of it."""
    journal = folder / "configurations.jsonl"
    done: dict[str, dict[str, Any]] = {}
    if journal.exists():
        for line in journal.read_text().splitlines():
            if line.endswith("}"):  # a line cut by a kill is computed again
                entry = json.loads(line)
                done[entry["id"]] = entry
    report = reporter(folder, maker.name)
    with journal.open("a") as handle:
        handle.write("\n")

        def finished(name: str, result: RelaxationResult) -> None:
            done[name] = _configuration(name, result)
            handle.write(json.dumps(done[name]) + "\n")
            handle.flush()
            report(len(done), len(structures))

        left = {name: structure for name, structure in sorted(structures.items()) if name not in done}
        _relax_left(left, maker, finished)
    return done


def _relax_left(
    structures: dict[str, Structure],
    maker: ConfigurationBatchMaker,
    finished: Callable[[str, RelaxationResult], None],
) -> None:
    """Relax in batches where the potential can, else one by one; raise a failure when the rest is done."""
    names = list(structures)
    crystals = [AseAtomsAdaptor.get_atoms(structure, msonable=False) for structure in structures.values()]
    calculator = calculator_for(maker.potential)
    if not isinstance(calculator, FastCHGNetCalculator):
        for name, atoms in zip(names, crystals, strict=True):
            finished(name, relax_structure(atoms, calculator, maker.protocol))
        return
    errors: list[SseScreenError] = []

    def one_finished(number: int, result: RelaxationResult | SseScreenError) -> None:
        if isinstance(result, SseScreenError):
            errors.append(result)
        else:
            finished(names[number], result)

    relax_together(crystals, calculator.engine, maker.protocol, on_finished=one_finished)
    if errors:
        raise errors[0]


def _configuration(name: str, result: RelaxationResult) -> dict[str, Any]:
    return {
        "id": name,
        "result": {
            "energy_eV_per_cell": result.energy_eV,
            "maximum_force_eV_per_A": result.maximum_force_eV_per_A,
            "converged": result.converged,
        },
        "structure": AseAtomsAdaptor.get_structure(result.atoms).as_dict(),
        "potential_time_s": result.potential_time_s,
        "total_time_s": result.total_time_s,
    }
