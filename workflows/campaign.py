"""The campaign file: what to compute, checked field by field before anything is submitted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    PositiveFloat,
    ValidationError,
    model_validator,
)

from sse_screen.documents.extension import ExtensionRule
from sse_screen.documents.molecular_dynamics import MolecularDynamicsProtocol, Temperatures
from sse_screen.documents.relaxation import RelaxationProtocol
from sse_screen.documents.survey import SurveyTier
from sse_screen.exceptions import InputError
from sse_screen.structures.filters import FilterSettings
from sse_screen.workflows.crystal_source import CrystalSource, Section
from sse_screen.workflows.development_section import TRAINING_FILES, PotentialDevelopment, TeacherLabels
from sse_screen.workflows.potentials import from_file


def _divides_four(time_step_fs: float) -> float:
    if abs(4 / time_step_fs - round(4 / time_step_fs)) > 1e-9:
        raise ValueError("velocities are stored every 4 fs; take 0.5, 1, 2 or 4")
    return time_step_fs


MOBILE_ION_CHARGES = {"Li": 1, "Na": 1, "K": 1, "Rb": 1, "Ag": 1, "Mg": 2, "Ca": 2, "Zn": 2, "Al": 3, "F": -1}


class Material(CrystalSource):
    """A crystal whose conductivity is wanted."""

    mobile_ion: str = Field("Li", description="Mobile element")
    charge_number: int | None = Field(
        None, ge=-4, le=4, description="Charge of the mobile ion; known for common ones"
    )
    temperatures_K: Temperatures | None = Field(None, description="Instead of the common ones")
    minimum_length_A: PositiveFloat | None = Field(None, description="Instead of the common one")

    @model_validator(mode="after")
    def _charged(self) -> Self:
        if self.charge_number == 0:
            raise ValueError("charge_number 0: a mobile ion has a charge")
        return self


class Dynamics(Section):
    """Molecular dynamics of all materials."""

    temperatures_K: Temperatures
    replicas: int = Field(1, ge=1, le=100, description="Runs a temperature, with different seeds")
    minimum_length_A: PositiveFloat = Field(8.0, description="Smallest perpendicular width of the supercell")
    protocol: MolecularDynamicsProtocol = MolecularDynamicsProtocol()
    extension: ExtensionRule | None = Field(
        None, description="Until when the runs go on; without it they are as long as the protocol says"
    )
    stop_early: bool = Field(True, description="End runs whose framework melts or decomposes")

    @model_validator(mode="after")
    def _room_to_extend(self) -> Self:
        if self.extension is not None and self.extension.maximum_ps <= self.protocol.production_ps:
            raise ValueError(
                f"extension: maximum_ps {self.extension.maximum_ps:g} leaves nothing: production_ps "
                f"of the protocol is {self.protocol.production_ps:g}"
            )
        return self


class Hull(Section):
    """A composition space and the phases that compete in it."""

    space: list[str] = Field(min_length=2, description="Elements of the space")
    entries: list[CrystalSource] = Field(min_length=1, description="Competing phases")


class Vibrations(Section):
    """Constant-energy runs of relaxed configurations for vibrational free energies."""

    temperatures_K: Temperatures
    time_step_fs: Annotated[float, AfterValidator(_divides_four)] = Field(
        1.0, gt=0, description="Integration step; velocities are stored every 4 fs"
    )
    equilibration_ps: PositiveFloat = Field(1.0, description="Under a thermostat, discarded")
    production_ps: PositiveFloat = Field(6.0, description="At constant energy")
    configurations_per_batch: int | None = Field(None, ge=1, description="Only so many of each batch")
    two_phase_species: str | None = Field(
        None, description="Mobile species to treat as gas and solid as well, beside the harmonic result"
    )


class Phonons(Section):
    """Finite displacements of relaxed configurations, the second route to vibrational free energies."""

    temperatures_K: Temperatures
    configurations_per_batch: int | None = Field(None, ge=1, description="Only so many of each batch")
    displacement_A: PositiveFloat = Field(0.01, description="Finite displacement")
    minimum_length_A: PositiveFloat = Field(12.0, description="Shortest vector of the supercell")
    maximum_force_eV_per_A: PositiveFloat = Field(1e-4, description="Of the relaxation before")


class Orderings(CrystalSource):
    """A disordered crystal whose orderings are relaxed and summed to a free energy."""

    occupancy: dict[str, int | dict[str, int]] | None = Field(
        None, description="Ions by sublattice, such as {24d: 12, 96h: 44}; mean occupancies by default"
    )
    exclusion_radius_A: float = Field(0.0, ge=0, description="Shortest distance of two ions")
    temperatures_K: Temperatures = Field([300.0, 600.0, 1000.0])
    maximum_configurations: int = Field(200, ge=1, description="Above it a sample of this size is drawn")
    batch_size: int = Field(100, ge=1, le=1000, description="Configurations a job")
    relax_cell: bool = Field(False, description="Relax the cell too")
    ordered_reference: bool = Field(False, description="An ordered crystal, a phase to compare with")
    vibrations: Vibrations | None = Field(None, description="Constant-energy runs of the relaxed cells")
    phonons: Phonons | None = Field(None, description="Finite displacements of the relaxed cells")


class Survey(Section):
    """Many crystals: filtered, run for a short time, the promising ones for longer."""

    crystals: Path = Field(
        description="Folder of crystals, or CSV table; relative paths count from the campaign file"
    )
    filters: FilterSettings = Field(FilterSettings(), description="What a crystal must have; its mobile ion")
    order: Literal["ewald", "random"] | None = Field(
        None, description="How partial occupancies become one ordered cell; without it they are refused"
    )
    charge_number: int | None = Field(
        None, ge=-4, le=4, description="Charge of the mobile ion; known for common ones"
    )
    minimum_length_A: PositiveFloat = Field(8.0, description="Smallest perpendicular width of the supercell")
    maximum_supercell_atoms: int = Field(400, ge=1, description="Larger supercells are refused")
    tiers: list[SurveyTier] = Field(
        min_length=1, description="Rounds of molecular dynamics, short ones first"
    )
    budget_core_hours: PositiveFloat | None = Field(
        None, description="Most that all tiers may spend together"
    )
    ms_per_atom_and_step: PositiveFloat = Field(
        0.5, description="Speed of one core, for the estimate of the first tier; later ones are measured"
    )

    @model_validator(mode="after")
    def _tiers_lead_on(self) -> Self:
        for number, tier in enumerate(self.tiers[:-1], 1):
            if tier.promote is None:
                raise ValueError(
                    f"tiers: tier {number} needs promote, which says who goes on to the next one"
                )
        if self.tiers[-1].promote is not None:
            raise ValueError("tiers: the last tier has promote, but there is no tier to go on to")
        if self.charge_number == 0:
            raise ValueError("charge_number 0: a mobile ion has a charge")
        if self.filters.allow_disorder and self.order is None:
            raise ValueError(
                "filters: allow_disorder lets crystals with partial occupancies pass, and nothing says how "
                "they become ordered cells; give order: ewald or order: random"
            )
        return self


class Campaign(Section):
    """Everything that one ``sse-screen submit`` adds."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="Name of the campaign")
    potential: str = Field(
        "chgnet",
        description="Name, alias, hash (8 digits at least) or file of the potential; relative paths count "
        "from the campaign file",
    )
    allow_unchecked_potential: bool = Field(
        False, description="Take a potential that did not pass the gates (docs/finetuning.md)"
    )
    seed: int = Field(1, ge=0, description="First seed of all runs")
    relaxation: RelaxationProtocol = RelaxationProtocol()
    molecular_dynamics: Dynamics | None = None
    materials: list[Material] = Field(default_factory=list)
    hulls: list[Hull] = Field(default_factory=list)
    orderings: list[Orderings] = Field(default_factory=list)
    survey: Survey | None = None
    potential_development: PotentialDevelopment | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        sections = (self.materials, self.hulls, self.orderings, self.survey, self.potential_development)
        if not any(sections):
            raise ValueError(
                "nothing to do: give at least one of materials, hulls, orderings, survey and "
                "potential_development"
            )
        if self.potential_development and (self.orderings or self.survey):
            raise ValueError(
                "potential_development goes with materials and hulls only, which run with the new potential; "
                "give orderings and survey a campaign of their own"
            )
        if self.materials and self.molecular_dynamics is None:
            raise ValueError("materials need a molecular_dynamics section (temperatures_K at least)")
        labels = [m.label for m in self.materials]
        doubled = sorted({label for label in labels if labels.count(label) > 1})
        if doubled:
            raise ValueError(f"materials: {', '.join(doubled)} is named twice; give each its own name")
        return self


def load_campaign(path: Path) -> Campaign:
    """Read and check a campaign file.

    Parameters
    ----------
    path : Path
        YAML file; all files that it names are taken relative to its folder.

    Returns
    -------
    Campaign
        Checked fields; the crystals themselves are checked by :func:`plan_campaign`.

    Raises
    ------
    InputError
        Naming file, field, value and what is allowed.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a YAML file: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a mapping with name, materials …; see docs/campaign.md")
    if {"teacher", "student"} <= content.keys():
        raise InputError(f"{path}: this is the file of a training loop: sse-screen loop submit {path}")
    try:
        campaign = Campaign.model_validate(content)
    except ValidationError as error:
        raise InputError("\n".join(_problems(path, error))) from None
    campaign.potential = from_file(campaign.potential, path.parent)
    for source in _sources(campaign):
        if source.file is not None:
            source.file = path.parent / source.file
    if campaign.survey is not None:
        campaign.survey.crystals = path.parent / campaign.survey.crystals
    if campaign.potential_development is not None:
        training, labels = campaign.potential_development.training, campaign.potential_development.labels
        if isinstance(labels, TeacherLabels):
            labels.potential = from_file(labels.potential, path.parent)
        for name in TRAINING_FILES:
            if (file := getattr(training, name, None)) is not None:
                setattr(training, name, path.parent / file)
    return campaign


def _sources(campaign: Campaign) -> list[CrystalSource]:
    entries = [entry for hull in campaign.hulls for entry in hull.entries]
    development = campaign.potential_development
    compositions = development.compositions if development is not None else []
    return [*campaign.materials, *entries, *campaign.orderings, *compositions]


def _problems(path: Path, error: ValidationError) -> list[str]:
    lines = []
    for problem in error.errors():
        field = ".".join(str(part) for part in problem["loc"]) or "the file"
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = f"unknown key; allowed here: {', '.join(_allowed(problem['loc']))}"
        given = "" if isinstance(problem["input"], dict | list) else f" (given: {problem['input']!r})"
        lines.append(f"{path}: {field}: {message}{given}")
    return lines


def _allowed(location: tuple[Any, ...]) -> list[str]:
    models: list[type[BaseModel]] = [Campaign]
    for part in location[:-1]:
        fields = [model.model_fields[part] for model in models if part in model.model_fields]
        inner = [model for field in fields for model in _models_of(field.annotation)]
        models = inner or [model for model in models if _is_tagged(model, part)] or models
    return sorted({name for model in models for name in model.model_fields})


def _models_of(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_of(argument)]


def _is_tagged(model: type[BaseModel], tag: Any) -> bool:
    """Whether a part of a location names this one of several models that a field may be."""
    return any(tag in get_args(field.annotation) for field in model.model_fields.values())
