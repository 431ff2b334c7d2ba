"""The training that a development of a potential asks for, checked before anything starts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from sse_screen.documents.base import BlobReference, PotentialIdentity
from sse_screen.documents.label import Label, pack_labels
from sse_screen.exceptions import InputError
from sse_screen.potentials.mace_calculator import SUFFIX, mace_version
from sse_screen.potentials.registration import known_elements
from sse_screen.potentials.registry import find_potential
from sse_screen.training.extended_xyz import read_extended_xyz
from sse_screen.training.labelled import LevelOfTheory
from sse_screen.workflows.development_section import MaceTraining, PotentialDevelopment
from sse_screen.workflows.mace_training import MaceTrainingMaker
from sse_screen.workflows.potentials import check_elements
from sse_screen.workflows.training import FineTuningMaker, TrainingMaker

#: replayed structures are never mixed with the labels, so that a file need not say their level of theory
_REPLAYED = LevelOfTheory(code="replay", functional="of the parent's labels")


@dataclass(frozen=True)
class PlannedTraining:
    """A training whose files have been read and not yet uploaded.

    Attributes
    ----------
    maker : TrainingMaker
        Without the replayed structures.
    foundation : bytes or None
        A model that the user brought.
    replay : bytes or None
        Packed structures to be replayed.
    """

    maker: TrainingMaker
    foundation: bytes | None = None
    replay: bytes | None = None

    @property
    def hashes(self) -> list[str]:
        """Hashes of the files, which tell campaigns of other files apart."""
        return [
            hashlib.sha256(held).hexdigest() for held in (self.foundation, self.replay) if held is not None
        ]

    def uploaded(self, put_blob: Callable[[bytes, str], BlobReference]) -> TrainingMaker:
        """Upload the files.

        Parameters
        ----------
        put_blob : callable
            Stores bytes of a content type and gives their reference.

        Returns
        -------
        TrainingMaker
            Complete; workers find the files in the blob store.
        """
        if self.foundation is not None:
            put_blob(self.foundation, "application/x-torch")
        if self.replay is None:
            return self.maker
        return replace(self.maker, replay=put_blob(self.replay, "application/zstd+json"))


def plan_training(
    section: PotentialDevelopment, potential: PotentialIdentity, elements: set[str], seed: int
) -> PlannedTraining:
    """Read and check what a training needs.

    Parameters
    ----------
    section : PotentialDevelopment
        Of the campaign file.
    potential : PotentialIdentity
        The campaign's.
    elements : set of str
        Of all compositions.
    seed : int
        Of the training.

    Returns
    -------
    PlannedTraining
        Nothing has been uploaded.

    Raises
    ------
    InputError
        MACE is not installed, a file is missing or of another kind, or a model does not know an element.
    """
    asked = section.training
    if not isinstance(asked, MaceTraining):
        if potential.code != "chgnet":
            raise InputError(
                f"training.trainer chgnet: fine-tunes the campaign's potential, which is a {potential.code}; "
                "name a CHGNet under potential, or take trainer: mace"
            )
        maker: TrainingMaker = FineTuningMaker(potential, asked.protocol, section.split, seed)
        return PlannedTraining(maker)
    try:
        mace_version()
    except InputError as error:
        raise InputError(f"training.trainer mace: {error}") from None
    if asked.method == "scratch":
        return PlannedTraining(MaceTrainingMaker(None, asked.protocol, section.split, seed))
    brought = None if asked.foundation is None else _foundation(asked.foundation)
    parent = potential if brought is None else brought
    if parent.code != "mace":
        raise InputError(
            f"training.method {asked.method}: needs a foundation model; give training.foundation, the path "
            "of a MACE model (none comes with the platform), or take method: scratch"
        )
    check_elements(elements, parent, "training.foundation")
    maker = MaceTrainingMaker(parent, asked.protocol, section.split, seed)
    content = None if asked.foundation is None else asked.foundation.read_bytes()
    return PlannedTraining(maker, content, _replayed(asked.replay, parent))


def _foundation(path: Path) -> PotentialIdentity:
    if not path.is_file():
        raise InputError(f"training.foundation: {path}: no such file")
    if path.suffix != SUFFIX:
        raise InputError(f"training.foundation: {path}: a MACE model file ends in {SUFFIX}")
    identity = find_potential(str(path)).identity
    elements = known_elements(identity, path)
    # without its folder: workers on other machines take it from the blob store
    return identity.model_copy(update={"name": path.stem, "elements": elements})


def _replayed(path: Path | None, parent: PotentialIdentity) -> bytes | None:
    if path is None:
        return None
    try:
        structures = read_extended_xyz(path, _REPLAYED).structures
    except InputError as error:
        raise InputError(f"training.replay: {error}") from None
    check_elements({e for s in structures for e in s.species}, parent, f"training.replay: {path}")
    return pack_labels(Label.of(s, code_version="", cpu_time_s=0.0) for s in structures)
