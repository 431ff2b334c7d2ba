"""The campaign section that makes a potential for a composition space."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, PositiveFloat, Tag, model_validator

from sse_screen.documents.molecular_dynamics import MolecularDynamicsProtocol
from sse_screen.documents.potential_gates import GateProtocol
from sse_screen.documents.training import MaceProtocol, SplitProtocol, TrainingProtocol
from sse_screen.training.gpaw_labels import GpawSettings
from sse_screen.training.sampling import SamplingProtocol
from sse_screen.training.vasp_labels import VaspSettings
from sse_screen.workflows.crystal_source import CrystalSource, Section


class Selection(Section):
    """Which orderings are labelled: drawn by Boltzmann weight, the lowest of every composition always."""

    n_orderings: int = Field(20, ge=1, description="Orderings of all compositions together")
    temperature_K: PositiveFloat = Field(800.0, description="Of the weights; E_hull counts per formula unit")


class SamplingRuns(Section):
    """Molecular dynamics of the chosen orderings with the parent potential, to take snapshots of."""

    temperatures_K: list[PositiveFloat] = Field([800.0], min_length=1)
    replicas: int = Field(1, ge=1, description="Runs a temperature, with different seeds")
    protocol: MolecularDynamicsProtocol = Field(
        MolecularDynamicsProtocol(
            time_step_fs=1.0, equilibration_ps=5.0, production_ps=10.0, frame_interval_fs=20.0
        ),
        description="What is before the production is never sampled",
    )
    minimum_length_A: PositiveFloat = Field(5.0, description="Smallest perpendicular width of the cell")


class GpawLabels(Section):
    """Labels by GPAW."""

    code: Literal["gpaw"] = "gpaw"
    settings: GpawSettings = GpawSettings()


class VaspLabels(Section):
    """Labels by VASP, where it is installed and licensed."""

    code: Literal["vasp"]
    settings: VaspSettings = Field(VaspSettings(), description="Those of Deng 2025 by default")


class TeacherLabels(Section):
    """Labels by another potential, to try a campaign out before paying for it."""

    code: Literal["potential"]
    potential: str = Field(description="Name or file of the potential that labels")


Labels = Annotated[GpawLabels | VaspLabels | TeacherLabels, Field(discriminator="code")]


class ChgnetTraining(TrainingProtocol):
    """Fine-tuning of the campaign's potential, a CHGNet."""

    trainer: Literal["chgnet"] = "chgnet"

    @property
    def protocol(self) -> TrainingProtocol:
        """How it is trained."""
        return TrainingProtocol.model_validate(self.model_dump(exclude={"trainer"}))


class MaceTraining(MaceProtocol):
    """Training of a MACE (extra ``mace``): from scratch, naive, or with a second head on what is replayed."""

    trainer: Literal["mace"]
    foundation: Path | None = Field(
        None,
        description="MACE model (.model) to fine-tune; the campaign's potential when that is a MACE. It can "
        "hold code that runs when it is loaded: bring only files that you trust; relative paths count from "
        "the campaign file",
    )
    replay: Path | None = Field(
        None,
        description="Extended XYZ file with labels of the foundation's training for multihead; by default "
        "crystals of the library that the foundation labels; relative paths count from the campaign file",
    )

    @model_validator(mode="after")
    def _files_fit_the_method(self) -> Self:
        if self.foundation is not None and self.method == "scratch":
            raise ValueError("foundation: method scratch takes none; choose method naive or multihead")
        if self.replay is not None and self.method != "multihead":
            raise ValueError(f"replay: is for method multihead, not {self.method}")
        return self

    @property
    def protocol(self) -> MaceProtocol:
        """How it is trained, without the files."""
        return MaceProtocol.model_validate(self.model_dump(exclude={"trainer", "foundation", "replay"}))


#: fields of a training that name files
TRAINING_FILES = frozenset({"foundation", "replay"})


def _trainer_of(content: Any) -> str:
    return str(content.get("trainer", "chgnet") if isinstance(content, dict) else content.trainer)


Training = Annotated[
    Annotated[ChgnetTraining, Tag("chgnet")] | Annotated[MaceTraining, Tag("mace")],
    Discriminator(
        _trainer_of,
        custom_error_type="trainer",
        custom_error_message="trainer: must be chgnet (the default) or mace",
    ),
]


class Budget(Section):
    """What the development may cost; a campaign whose estimate is above is refused before it starts."""

    calculations: int | None = Field(None, ge=1, description="Most labels")
    core_hours: PositiveFloat | None = Field(
        None, description="Most core hours of all parts, training and production included"
    )


class PotentialDevelopment(Section):
    """From a composition space to a potential that is right for it (Deng 2025).

    Orderings of every composition are relaxed with the campaign's potential and put on a hull; some are drawn
    by Boltzmann weight, run at high temperature, sampled, strained and labelled; a potential is trained on
    the labels (by default the campaign's is fine-tuned) and put through the gates. The campaign's materials
    and hulls then run with the new potential.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="Name of the new potential")
    compositions: list[CrystalSource] = Field(min_length=1, description="Crystals that span the space")
    mobile_ion: str = Field("Li", description="Mobile element")
    end_members: list[str] | None = Field(
        None, description="Formulas that the hull is drawn between; the elements by default"
    )
    maximum_orderings: int = Field(50, ge=1, description="Of a composition; above it a sample is drawn")
    exclusion_radius_A: float = Field(0.0, ge=0, description="Shortest distance of two ions")
    selection: Selection = Selection()
    dynamics: SamplingRuns = SamplingRuns()
    snapshots: SamplingProtocol = SamplingProtocol()
    labels: Labels = GpawLabels()
    training: Training = Field(ChgnetTraining(), description="trainer: chgnet or mace, and how it trains")
    split: SplitProtocol = Field(
        SplitProtocol(),
        description="Which labels choose the epoch and which are tested on; by: run below three orderings",
    )
    training_fractions: list[Annotated[float, Field(gt=0, le=1)]] = Field(
        [0.25, 0.5, 0.75, 1.0], min_length=1, description="Sizes of the training set for the learning curve"
    )
    gates: GateProtocol = GateProtocol()
    budget: Budget = Budget()

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if self.selection.n_orderings < len(self.compositions):
            raise ValueError(
                f"selection.n_orderings {self.selection.n_orderings}: fewer than the compositions "
                f"({len(self.compositions)}), whose lowest orderings are always in"
            )
        labels = [crystal.label for crystal in self.compositions]
        doubled = sorted({label for label in labels if labels.count(label) > 1})
        if doubled:
            raise ValueError(f"compositions: {', '.join(doubled)} is named twice; give each its own name")
        return self

    def n_runs(self, n_orderings: int) -> int:
        """Count the sampling runs.

        Parameters
        ----------
        n_orderings : int
            Orderings there are; the section takes as many of them as it asks for.

        Returns
        -------
        int
            Runs of all chosen orderings.
        """
        chosen = min(self.selection.n_orderings, n_orderings)
        return chosen * len(self.dynamics.temperatures_K) * self.dynamics.replicas
