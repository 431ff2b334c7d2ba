"""Label structures with VASP through atomate2's makers, one firework a structure."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobflow import Flow, Job, Maker, OnMissing, Response, job
from pymatgen.core import Structure

from sse_screen.documents.base import BlobReference, content_hash
from sse_screen.documents.label import (
    Label,
    LabelBatchOutput,
    LabelFailure,
    UnlabelledStructure,
    label_batch_key,
    unpack_unlabelled,
)
from sse_screen.training.labelled import LabelError, LevelOfTheory
from sse_screen.training.labelling import LabellingError
from sse_screen.training.vasp_labels import VaspSettings, label_from_task
from sse_screen.workflows.labelling import batch_output, earlier_labels, unique_structures
from sse_screen.workflows.runtime import once, worker

if TYPE_CHECKING:
    from atomate2.vasp.jobs.base import BaseVaspMaker


def vasp_static_maker(settings: VaspSettings, **run_vasp: Any) -> BaseVaspMaker:
    """Give atomate2's maker of a single point with the inputs of a study.

    Parameters
    ----------
    settings : VaspSettings
        What differs from the Materials Project's static sets.
    **run_vasp : Any
        Passed to ``atomate2.vasp.run.run_vasp``, such as ``vasp_cmd``.

    Returns
    -------
    BaseVaspMaker
        ``MPGGAStaticMaker`` or ``MPMetaGGAStaticMaker``.
    """
    from atomate2.vasp.jobs.mp import MPGGAStaticMaker, MPMetaGGAStaticMaker
    from pymatgen.io.vasp import Kpoints
    from pymatgen.io.vasp.sets import MPScanStaticSet, MPStaticSet

    gradient = settings.functional == "PBE"
    mesh: Any = {} if settings.k_point_spacing_per_A else Kpoints()
    inputs: Any = (MPStaticSet if gradient else MPScanStaticSet)(
        inherit_incar=False,
        auto_ismear=False,
        user_incar_settings=settings.incar_updates,
        user_kpoints_settings=mesh,
        user_potcar_functional="PBE_54",
    )
    maker = MPGGAStaticMaker if gradient else MPMetaGGAStaticMaker
    return maker(name="label", input_set_generator=inputs, run_vasp_kwargs=run_vasp)


@dataclass
class VaspLabelMaker(Maker):
    """Label a batch of structures with VASP.

    The job looks up which structures have a label at this level of theory and replaces itself by one VASP job
    for each of the others and one job that gathers all; a VASP job that fails costs its structure only.

    Parameters
    ----------
    settings : VaspSettings
        Functional, cutoff, k-points, convergence.
    run_vasp_kwargs : dict
        Passed to ``atomate2.vasp.run.run_vasp``, such as ``vasp_cmd``.
    """

    settings: VaspSettings = field(default_factory=VaspSettings)
    run_vasp_kwargs: dict[str, Any] = field(default_factory=dict)
    name: str = "vasp labels"

    @property
    def level_of_theory(self) -> LevelOfTheory:
        """Of the settings."""
        return self.settings.level_of_theory

    @job
    def make(
        self, batch: BlobReference | dict[str, Any], inputs: list[str] | None = None
    ) -> Response[LabelBatchOutput]:
        """Label all structures of a batch.

        Parameters
        ----------
        batch : BlobReference
            From :func:`~sse_screen.workflows.labelling.store_batch`.
        inputs : list of str, optional
            uuids of the jobs that the structures are from.

        Returns
        -------
        Response
            Replaces itself by a flow whose output is a :class:`LabelBatchOutput`.
        """
        reference = BlobReference.model_validate(batch)
        wanted = unique_structures(unpack_unlabelled(worker().blobs.get(reference.sha256)))
        known = earlier_labels(wanted, self.level_of_theory)
        static: Any = vasp_static_maker(self.settings, **self.run_vasp_kwargs)
        runs: dict[str, Job] = {}
        for name, (structure, _) in wanted.items():
            if name not in known:
                runs[name] = static.make(Structure.from_dict(structure.structure))
                runs[name].append_name(f" {structure.source}")
        tasks = {name: run.output for name, run in runs.items()}
        gathered = gather_vasp_labels(reference, self.settings, tasks, inputs or [])
        gathered.config.on_missing_references = OnMissing.NONE
        return Response(replace=Flow([*runs.values(), gathered], gathered.output, name=self.name))


@job
def gather_vasp_labels(
    batch: BlobReference | dict[str, Any],
    settings: VaspSettings | dict[str, Any],
    tasks: dict[str, Any],
    inputs: list[str],
) -> Response[LabelBatchOutput]:
    """Gather the labels of a batch from its VASP jobs and from earlier batches.

    Parameters
    ----------
    batch : BlobReference
        The structures.
    settings : VaspSettings
        What was asked for.
    tasks : dict
        emmet TaskDoc by geometry hash; none where the job failed.
    inputs : list of str
        uuids of the jobs that the structures are from.

    Returns
    -------
    Response
        A :class:`LabelBatchOutput`.

    Raises
    ------
    LabellingError
        If no structure has a label.
    """
    reference, wanted_settings = BlobReference.model_validate(batch), VaspSettings.model_validate(settings)
    level = wanted_settings.level_of_theory
    found = hashlib.sha256("".join(sorted(name for name in tasks if tasks[name])).encode()).hexdigest()
    key = content_hash([label_batch_key(reference.sha256, level, {"tasks": found})])

    def compute(_folder: Path) -> LabelBatchOutput:
        """Read what VASP has left."""
        started = time.perf_counter()
        wanted = unique_structures(unpack_unlabelled(worker().blobs.get(reference.sha256)))
        labels = earlier_labels(wanted, level)
        n_reused, failures = len(labels), {}
        for name in wanted.keys() - labels.keys():
            result = _label_or_failure(tasks.get(name), name, wanted[name][0], level)
            if isinstance(result, Label):
                labels[name] = result
            else:
                failures[name] = result
        return batch_output(key, level, labels, failures, n_reused, inputs, started)

    return once(key, LabelBatchOutput, compute)


def _label_or_failure(
    task: Any, geometry: str, structure: UnlabelledStructure, level: LevelOfTheory
) -> Label | LabelFailure:
    where = {"parent_configuration": structure.parent_configuration, "source": structure.source}
    try:
        if task is None:
            raise LabellingError(f"{structure.source}: the VASP job failed; see its firework")
        label = label_from_task(task, **where)
        if label.level_of_theory.identifier != level.identifier:
            raise LabellingError(
                f"{structure.source}: VASP ran {label.level_of_theory.describe()}, not {level.describe()}"
            )
        if label.geometry_sha256 != geometry:
            raise LabellingError(f"{structure.source}: VASP ran another structure; was the cell changed?")
    except (LabelError, LabellingError) as error:
        return LabelFailure(geometry_sha256=geometry, reason=str(error), **where)
    return label
