"""Jobs that make datasets: cleaned labels, and labels brought as a file."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobflow import Maker, Response, job
from pymatgen.core import Structure

from sse_screen.documents.base import BlobReference, content_hash
from sse_screen.documents.dataset import DatasetOutput, RejectedLabel
from sse_screen.documents.label import (
    Label,
    LabelBatchOutput,
    label_batch_key,
    pack_labels,
    unpack_labels,
)
from sse_screen.exceptions import InputError
from sse_screen.training.cleaning import CleaningRules, clean
from sse_screen.training.datasets import Dataset
from sse_screen.training.labelled import LabelledStructure
from sse_screen.workflows.labelling import batch_output
from sse_screen.workflows.runtime import once, versions, worker

_MEANING_VERSION = "1"


@dataclass
class DatasetMaker(Maker):
    """Clean the labels of several batches into one set.

    Parameters
    ----------
    rules : CleaningRules
        Those of Marcolongo 2019 by default, without the test of bonds.
    """

    rules: CleaningRules = field(default_factory=CleaningRules)
    name: str = "dataset"

    @job
    def make(
        self,
        dataset_name: str,
        labels: list[BlobReference | dict[str, Any] | None],
        inputs: list[str] | None = None,
        references: dict[str, Structure | dict[str, Any] | None] | None = None,
    ) -> Response[DatasetOutput]:
        """Clean.

        Parameters
        ----------
        dataset_name : str
            What to call the set.
        labels : list of BlobReference
            Packed labels (``packed`` of label batches); None for a batch that failed.
        inputs : list of str, optional
            uuids of the jobs that the labels are from.
        references : dict, optional
            Crystal by parent configuration, atoms in the order of its frames: what changes of bonds are
            counted from.

        Returns
        -------
        Response
            A :class:`DatasetOutput`; its ``packed`` is what a training takes.

        Raises
        ------
        InputError
            If bonds are to be tested and a parent has no reference, or nothing is left.
        LabelError
            If two labels are at different levels of theory.
        """
        crystals = _crystals(references or {}) if self.rules.bond_change is not None else {}
        packed = [BlobReference.model_validate(reference) for reference in labels if reference is not None]
        if not packed:
            raise InputError(f"{dataset_name}: none of {len(labels)} batches has labels")
        key = content_hash(
            {
                "kind": "dataset",
                "meaning": _MEANING_VERSION,
                "name": dataset_name,
                "labels": sorted(reference.sha256 for reference in packed),
                "rules": self.rules.model_dump(mode="json"),
                "references": {
                    parent: [[str(s.specie), *s.coords.round(6).tolist()] for s in c]
                    for parent, c in crystals.items()
                },
            }
        )

        def compute(_folder: Path) -> DatasetOutput:
            """Make the dataset and upload it."""
            return _cleaned(key, dataset_name, packed, self.rules, crystals, inputs or [])

        return once(key, DatasetOutput, compute)


def _crystals(references: dict[str, Structure | dict[str, Any] | None]) -> dict[str, Structure]:
    """Give the reference crystals; none of a parent whose run failed."""
    return {
        parent: crystal if isinstance(crystal, Structure) else Structure.from_dict(crystal)
        for parent, crystal in references.items()
        if crystal is not None
    }


def _cleaned(
    key: str,
    dataset_name: str,
    packed: list[BlobReference],
    rules: CleaningRules,
    references: dict[str, Structure],
    inputs: list[str],
) -> DatasetOutput:
    """Clean packed labels and store what was kept and what was not."""
    started = time.perf_counter()
    found = {
        label.label_sha256: label
        for reference in packed
        for label in unpack_labels(worker().blobs.get(reference.sha256))
    }
    frames = {name: label.to_labelled() for name, label in sorted(found.items())}
    everything = Dataset(tuple(frames.values()))
    cleaned = clean(everything, rules, references)
    if not cleaned.kept:
        raise InputError(f"{dataset_name}: cleaning rejected all {len(frames)} labels")
    dataset = Dataset(cleaned.kept)
    rejected = [rejection.structure for rejection in cleaned.rejected]
    return DatasetOutput(
        calculation_key=key,
        name=dataset_name,
        dataset_sha256=dataset.dataset_hash,
        level_of_theory=dataset.level_of_theory,
        level_identifier=dataset.level_of_theory.identifier,
        elements=list(dataset.elements),
        chemical_system="-".join(dataset.elements),
        parents=dataset.parents,
        n_labels=len(dataset),
        rules=rules,
        rejected=[
            RejectedLabel(
                label_sha256=rejection.structure.content_hash,
                source=rejection.structure.source,
                rule=rejection.rule,
                reason=rejection.reason,
            )
            for rejection in cleaned.rejected
        ],
        notes=list(cleaned.notes),
        packed=_store(found, dataset),
        packed_rejected=_store(found, rejected) if rejected else None,
        inputs=inputs,
        total_time_s=time.perf_counter() - started,
        versions=versions(),
    )


@dataclass
class ImportLabelsMaker(Maker):
    """Take over labels that were made elsewhere, as one batch at one level of theory."""

    name: str = "imported labels"

    @job
    def make(self, packed: BlobReference | dict[str, Any]) -> Response[LabelBatchOutput]:
        """Take over.

        Parameters
        ----------
        packed : BlobReference
            Packed labels, from :func:`store_labelled`.

        Returns
        -------
        Response
            A :class:`LabelBatchOutput`, as if the labels had been made here.
        """
        reference = BlobReference.model_validate(packed)
        labels = {
            label.geometry_sha256: label for label in unpack_labels(worker().blobs.get(reference.sha256))
        }
        level = Dataset(tuple(label.to_labelled() for label in labels.values())).level_of_theory
        key = label_batch_key(reference.sha256, level, {"imported": True})

        def compute(_folder: Path) -> LabelBatchOutput:
            """Take the labels as they were imported."""
            return batch_output(key, level, labels, {}, 0, [], time.perf_counter())

        return once(key, LabelBatchOutput, compute)


def store_labelled(structures: Iterable[LabelledStructure], code_version: str = "unknown") -> BlobReference:
    """Put labelled structures that were made elsewhere into the blob store.

    Parameters
    ----------
    structures : iterable of LabelledStructure
        At one level of theory.
    code_version : str
        Version of the code that made them, where it is known.

    Returns
    -------
    BlobReference
        What :meth:`ImportLabelsMaker.make` takes. Cost and electronic steps are not known.
    """
    labels = [Label.of(one, code_version=code_version, cpu_time_s=0.0) for one in Dataset(tuple(structures))]
    return worker().blobs.put(pack_labels(labels), "application/zstd+json")


def _store(found: dict[str, Label], structures: Iterable[LabelledStructure]) -> BlobReference:
    packed = pack_labels(found[structure.content_hash] for structure in structures)
    return worker().blobs.put(packed, "application/zstd+json")
