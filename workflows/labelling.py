"""Jobs that label structures: GPAW, potentials and other ASE calculators, many structures a job."""

from __future__ import annotations

import json
import time
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobflow import Maker, Response, job
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from sse_screen.database.stores import OUTPUTS
from sse_screen.documents.base import BlobReference, PotentialIdentity
from sse_screen.documents.label import (
    Label,
    LabelBatchOutput,
    LabelFailure,
    LabelSummary,
    UnlabelledStructure,
    label_batch_key,
    pack_labels,
    pack_unlabelled,
    unpack_labels,
    unpack_unlabelled,
)
from sse_screen.exceptions import InputError
from sse_screen.training.gpaw_labels import GpawSettings, label_with_gpaw
from sse_screen.training.labelled import LevelOfTheory
from sse_screen.training.labelling import (
    CalculatorSpec,
    LabellingError,
    geometry_hash,
    label_with_calculator,
    potential_level,
)
from sse_screen.workflows.runtime import calculator_for, once, reporter, versions, worker

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator


@dataclass
class LabelMaker(Maker):
    """Label a batch of structures, each once, restartable in the middle.

    A structure that an earlier batch labelled at the same level of theory is taken from there. One whose
    calculation does not converge or fails is recorded with the reason, and the others go on; a batch without
    a single label fails.
    """

    @property
    @abstractmethod
    def level_of_theory(self) -> LevelOfTheory:
        """What the labels are made with, without the pseudopotentials."""

    @property
    def limits(self) -> dict[str, Any]:
        """Settings that decide what is given up; part of the key, not of the level of theory."""
        return {}

    @abstractmethod
    def label(self, atoms: Atoms, parent_configuration: str, source: str, folder: Path) -> Label:
        """Label one structure.

        Parameters
        ----------
        atoms : ase.Atoms
            The structure.
        parent_configuration, source : str
            As in :class:`~sse_screen.training.labelled.LabelledStructure`.
        folder : Path
            The calculation's folder.

        Returns
        -------
        Label
            The label.

        Raises
        ------
        LabellingError
            If there is none.
        """

    @job
    def make(
        self, batch: BlobReference | dict[str, Any], inputs: list[str] | None = None
    ) -> Response[LabelBatchOutput]:
        """Label all structures of a batch.

        Parameters
        ----------
        batch : BlobReference
            From :func:`store_batch`.
        inputs : list of str, optional
            uuids of the jobs that the structures are from.

        Returns
        -------
        Response
            A :class:`LabelBatchOutput`.
        """
        reference = BlobReference.model_validate(batch)
        level = self.level_of_theory
        key = label_batch_key(reference.sha256, level, self.limits)

        def compute(folder: Path) -> LabelBatchOutput:
            started = time.perf_counter()
            found = _label_each(unpack_unlabelled(worker().blobs.get(reference.sha256)), self, folder)
            if not found.labels:
                reasons = "; ".join(sorted({failure.reason for failure in found.failures})[:3])
                raise LabellingError(f"none of {len(found.failures)} structures has a label: {reasons}")
            return LabelBatchOutput(
                calculation_key=key,
                level_of_theory=level,
                level_identifier=level.identifier,
                labels=[
                    LabelSummary.model_validate(label.model_dump(include=set(LabelSummary.model_fields)))
                    for label in found.labels
                ],
                failures=found.failures,
                n_reused=found.n_reused,
                packed=worker().blobs.put(pack_labels(found.labels), "application/zstd+json"),
                inputs=inputs or [],
                cpu_time_s=found.cpu_time_s,
                total_time_s=time.perf_counter() - started,
                versions=versions(),
            )

        return once(key, LabelBatchOutput, compute)


@dataclass
class GpawLabelMaker(LabelMaker):
    """Label by density-functional theory in GPAW.

    Parameters
    ----------
    settings : GpawSettings
        Functional, cutoff, k-points, convergence.
    """

    settings: GpawSettings = field(default_factory=GpawSettings)
    name: str = "gpaw labels"

    @property
    def level_of_theory(self) -> LevelOfTheory:
        """Of the settings."""
        return self.settings.level_of_theory

    @property
    def limits(self) -> dict[str, Any]:
        """The most electronic steps."""
        return {"maximum_steps": self.settings.maximum_steps}

    def label(self, atoms: Atoms, parent_configuration: str, source: str, folder: Path) -> Label:
        """Label one structure; GPAW's own log stays in the folder until the batch is swept."""
        return label_with_gpaw(
            atoms,
            self.settings,
            parent_configuration=parent_configuration,
            source=source,
            log_file=folder / "gpaw.txt",
        )


@dataclass
class AseLabelMaker(LabelMaker):
    """Label by a potential as teacher, or by any ASE calculator.

    Parameters
    ----------
    teacher : PotentialIdentity or CalculatorSpec
        A potential (resolved at submission; the worker checks the hash), or a calculator by name.
    """

    teacher: PotentialIdentity | CalculatorSpec | None = None
    name: str = "teacher labels"

    def __post_init__(self) -> None:
        """Refuse to be made without a teacher."""
        if self.teacher is None:
            raise InputError("AseLabelMaker: give the teacher, a potential or a calculator")

    @property
    def level_of_theory(self) -> LevelOfTheory:
        """Of the teacher."""
        if isinstance(self.teacher, CalculatorSpec):
            return self.teacher.level_of_theory
        assert self.teacher is not None
        return potential_level(self.teacher)

    def label(self, atoms: Atoms, parent_configuration: str, source: str, folder: Path) -> Label:
        """Label one structure."""
        assert self.teacher is not None
        if isinstance(self.teacher, CalculatorSpec):
            calculator = _calculator_of(self.teacher.model_dump_json())
        else:
            calculator = calculator_for(self.teacher)
        return label_with_calculator(
            atoms,
            calculator,
            self.level_of_theory,
            parent_configuration=parent_configuration,
            source=source,
            code_version=self.teacher.code_version,
        )


@lru_cache(maxsize=2)
def _calculator_of(spec: str) -> Calculator:
    """Make a calculator once a process."""
    return CalculatorSpec.model_validate_json(spec).load()


def store_batch(structures: Iterable[UnlabelledStructure]) -> BlobReference:
    """Put structures to be labelled into the blob store, so that a job's inputs stay small.

    Parameters
    ----------
    structures : iterable of UnlabelledStructure
        One batch.

    Returns
    -------
    BlobReference
        What :meth:`LabelMaker.make` takes.
    """
    return worker().blobs.put(pack_unlabelled(structures), "application/zstd+json")


@dataclass
class _Found:
    """What a batch came to."""

    labels: list[Label]
    failures: list[LabelFailure]
    n_reused: int
    cpu_time_s: float


def _label_each(structures: list[UnlabelledStructure], maker: LabelMaker, folder: Path) -> _Found:
    """Label what neither an earlier batch nor the folder's journal has; every result is a line of it."""
    wanted: dict[str, tuple[UnlabelledStructure, Atoms]] = {}
    for structure in structures:
        atoms = AseAtomsAdaptor.get_atoms(Structure.from_dict(structure.structure), msonable=False)
        wanted.setdefault(geometry_hash(atoms), (structure, atoms))
    earlier = _earlier_labels(list(wanted), maker.level_of_theory)
    labels = {
        name: earlier[name].model_copy(
            update={"parent_configuration": one.parent_configuration, "source": one.source}
        )
        for name, (one, _) in wanted.items()
        if name in earlier
    }
    journal = folder / "labels.jsonl"
    failures = _read_journal(journal, labels)
    report = reporter(folder, maker.name)
    with journal.open("a") as handle:
        handle.write("\n")
        for name, (one, atoms) in wanted.items():
            if name in labels or name in failures:
                continue
            try:
                result: Label | LabelFailure = maker.label(
                    atoms, one.parent_configuration, one.source, folder
                )
            except LabellingError as error:
                result = LabelFailure(
                    geometry_sha256=name,
                    parent_configuration=one.parent_configuration,
                    source=one.source,
                    reason=str(error),
                )
            handle.write(result.model_dump_json() + "\n")
            handle.flush()
            _sort_in(result, labels, failures)
            report(len(labels) + len(failures), len(wanted))
    cost = sum(label.cpu_time_s for name, label in labels.items() if name not in earlier)
    order = [labels[name] for name in sorted(labels)]
    return _Found(order, [failures[name] for name in sorted(failures)], len(earlier), cost)


def _read_journal(journal: Path, labels: dict[str, Label]) -> dict[str, LabelFailure]:
    """Read finished results into ``labels``; a line cut by a kill is computed again."""
    failures: dict[str, LabelFailure] = {}
    for line in journal.read_text().splitlines() if journal.exists() else []:
        if line.endswith("}"):
            content = json.loads(line)
            model = LabelFailure if "reason" in content else Label
            _sort_in(model.model_validate(content), labels, failures)
    return failures


def _sort_in(
    result: Label | LabelFailure, labels: dict[str, Label], failures: dict[str, LabelFailure]
) -> None:
    if isinstance(result, Label):
        labels[result.geometry_sha256] = result
    else:
        failures[result.geometry_sha256] = result


def _earlier_labels(geometries: list[str], level: LevelOfTheory) -> dict[str, Label]:
    """Find labels of these structures at this level in the outputs of earlier batches."""
    query = {
        "output.labels.geometry_sha256": {"$in": geometries},
        "output.kind": "label_batch",
        "output.level_identifier": level.identifier,
    }
    found: dict[str, Label] = {}
    for output in worker().database[OUTPUTS].find(query, {"_id": 0, "output.packed.sha256": 1}):
        for label in unpack_labels(worker().blobs.get(output["output"]["packed"]["sha256"])):
            if label.geometry_sha256 in geometries:
                found.setdefault(label.geometry_sha256, label)
    return found
