"""Jobs that label structures: GPAW, potentials and other ASE calculators, many structures a job."""

from __future__ import annotations

import json
import time
from abc import abstractmethod
from collections.abc import Iterable, Mapping
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
from sse_screen.training.labelled import LabelError, LevelOfTheory
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
            """Label what is not labelled yet."""
            started = time.perf_counter()
            wanted = unique_structures(unpack_unlabelled(worker().blobs.get(reference.sha256)))
            labels = earlier_labels(wanted, level)
            n_reused = len(labels)
            failures = _label_each(wanted, labels, self, folder)
            return batch_output(key, level, labels, failures, n_reused, inputs or [], started)

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


def unique_structures(
    structures: Iterable[UnlabelledStructure],
) -> dict[str, tuple[UnlabelledStructure, Atoms]]:
    """Give each structure once, by the hash of its geometry.

    Parameters
    ----------
    structures : iterable of UnlabelledStructure
        A batch.

    Returns
    -------
    dict
        Structure, and the same as ASE atoms, by geometry hash; of equal ones the first.
    """
    found: dict[str, tuple[UnlabelledStructure, Atoms]] = {}
    for structure in structures:
        atoms = AseAtomsAdaptor.get_atoms(Structure.from_dict(structure.structure), msonable=False)
        found.setdefault(geometry_hash(atoms), (structure, atoms))
    return found


def earlier_labels(
    wanted: Mapping[str, tuple[UnlabelledStructure, Atoms]], level: LevelOfTheory
) -> dict[str, Label]:
    """Find labels of structures in the outputs of earlier batches.

    Parameters
    ----------
    wanted : mapping
        From :func:`unique_structures`.
    level : LevelOfTheory
        Only labels at this level.

    Returns
    -------
    dict
        Label by geometry hash, with the parent and the source of the structure wanted.
    """
    query = {
        "output.labels.geometry_sha256": {"$in": list(wanted)},
        "output.kind": "label_batch",
        "output.level_identifier": level.identifier,
    }
    found: dict[str, Label] = {}
    for output in worker().database[OUTPUTS].find(query, {"_id": 0, "output.packed.sha256": 1}):
        for label in unpack_labels(worker().blobs.get(output["output"]["packed"]["sha256"])):
            if label.geometry_sha256 in wanted and label.geometry_sha256 not in found:
                one = wanted[label.geometry_sha256][0]
                where = {"parent_configuration": one.parent_configuration, "source": one.source}
                found[label.geometry_sha256] = label.model_copy(update=where)
    return found


def batch_output(
    key: str,
    level: LevelOfTheory,
    labels: dict[str, Label],
    failures: dict[str, LabelFailure],
    n_reused: int,
    inputs: list[str],
    started: float,
) -> LabelBatchOutput:
    """Store the labels of a batch and make its output.

    Parameters
    ----------
    key : str
        Idempotency key.
    level : LevelOfTheory
        What was asked for.
    labels, failures : dict
        By geometry hash; the first ``n_reused`` labels are from earlier batches.
    n_reused : int
        Their number.
    inputs : list of str
        uuids of the jobs that the structures are from.
    started : float
        ``time.perf_counter()`` at the beginning.

    Returns
    -------
    LabelBatchOutput
        The output.

    Raises
    ------
    LabellingError
        If there is no label at all.
    """
    if not labels:
        # a reason begins with the structure; of those that are alike otherwise one is enough
        alike = {failure.reason.partition(": ")[2]: failure.reason for failure in failures.values()}
        reasons = "; ".join(sorted(alike.values())[:3])
        raise LabellingError(f"none of {len(failures)} structures has a label: {reasons}")
    fields = set(LabelSummary.model_fields)
    return LabelBatchOutput(
        calculation_key=key,
        level_of_theory=level,
        level_identifier=level.identifier,
        labels=[
            LabelSummary.model_validate(labels[name].model_dump(include=fields)) for name in sorted(labels)
        ],
        failures=[failures[name] for name in sorted(failures)],
        n_reused=n_reused,
        packed=worker().blobs.put(pack_labels(labels.values()), "application/zstd+json"),
        inputs=inputs,
        cpu_time_s=sum(label.cpu_time_s for label in list(labels.values())[n_reused:]),
        total_time_s=time.perf_counter() - started,
        versions=versions(),
    )


def _label_each(
    wanted: Mapping[str, tuple[UnlabelledStructure, Atoms]],
    labels: dict[str, Label],
    maker: LabelMaker,
    folder: Path,
) -> dict[str, LabelFailure]:
    """Add the labels that neither ``labels`` nor the folder's journal has; every result is a line of it."""
    journal = folder / "labels.jsonl"
    failures = _read_journal(journal, labels)
    report = reporter(folder, maker.name)
    with journal.open("a") as handle:
        handle.write("\n")
        for name, (one, atoms) in wanted.items():
            if name in labels or name in failures:
                continue
            where = {"parent_configuration": one.parent_configuration, "source": one.source}
            try:
                result: Label | LabelFailure = maker.label(atoms, folder=folder, **where)
            except (LabelError, LabellingError) as error:
                result = LabelFailure(geometry_sha256=name, reason=str(error), **where)
            handle.write(result.model_dump_json() + "\n")
            handle.flush()
            _sort_in(result, labels, failures)
            report(len(labels) + len(failures), len(wanted))
    return failures


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
