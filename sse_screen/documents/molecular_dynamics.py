"""Protocol and output of one molecular-dynamics run."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from sse_screen.documents.base import BlobReference, Document, PotentialIdentity, Specification, content_hash


def _distinct(temperatures_K: list[float]) -> list[float]:
    if len(set(temperatures_K)) < len(temperatures_K):
        raise ValueError("a temperature is given twice; use replicas for more runs of one")
    return temperatures_K


_Temperature = Annotated[float, Field(gt=0, le=10000, allow_inf_nan=False)]
#: temperatures (K) that runs are asked for at, each once
Temperatures = Annotated[list[_Temperature], Field(min_length=1), AfterValidator(_distinct)]
Ensemble = Literal["nvt", "npt", "nve"]
MEANING_VERSION = "1"


class MolecularDynamicsProtocol(Specification):
    """How a run is made; together with structure, potential and seed it fixes the result."""

    ensemble: Ensemble = Field("nvt", description="Ensemble of the production part")
    time_step_fs: float = Field(
        2.0, gt=0, le=5.0, description="Integration step", json_schema_extra={"unit": "fs"}
    )
    equilibration_ps: float = Field(
        1.0, ge=0, description="Discarded start, always under a thermostat", json_schema_extra={"unit": "ps"}
    )
    production_ps: float = Field(
        10.0, gt=0, description="Part that is analysed", json_schema_extra={"unit": "ps"}
    )
    frame_interval_fs: float = Field(
        20.0, gt=0, description="Time between stored frames", json_schema_extra={"unit": "fs"}
    )
    thermostat_time_fs: float = Field(
        100.0, gt=0, description="Relaxation time of the velocity rescaling", json_schema_extra={"unit": "fs"}
    )
    barostat_time_fs: float = Field(
        1000.0, gt=0, description="Relaxation time of the barostat (npt)", json_schema_extra={"unit": "fs"}
    )
    pressure_bar: float = Field(1.0, description="Pressure (npt)", json_schema_extra={"unit": "bar"})
    store_velocities: bool = Field(False, description="Keep velocities, for vibrational spectra")

    @model_validator(mode="after")
    def _check(self) -> Self:
        steps = self.frame_interval_fs / self.time_step_fs
        if abs(steps - round(steps)) > 1e-9 or round(steps) < 1:
            raise ValueError(
                f"frame_interval_fs {self.frame_interval_fs} must be a whole multiple of "
                f"time_step_fs {self.time_step_fs}"
            )
        if self.n_frames < 2:
            raise ValueError(f"production_ps {self.production_ps} holds fewer than two frames")
        return self

    @property
    def stride(self) -> int:
        """Steps between stored frames."""
        return round(self.frame_interval_fs / self.time_step_fs)

    @property
    def n_equilibration_frames(self) -> int:
        """Stored frames that belong to the equilibration."""
        return round(self.equilibration_ps * 1000 / self.frame_interval_fs)

    @property
    def n_frames(self) -> int:
        """Frames of the production part."""
        return round(self.production_ps * 1000 / self.frame_interval_fs)

    @property
    def n_steps(self) -> int:
        """All integration steps, equilibration included."""
        return (self.n_equilibration_frames + self.n_frames) * self.stride

    def is_start_of(self, other: MolecularDynamicsProtocol) -> bool:
        """Tell whether a run of another protocol begins with a run of this one.

        Parameters
        ----------
        other : MolecularDynamicsProtocol
            Protocol of the longer run.

        Returns
        -------
        bool
            True when nothing differs but the length, and that of the other is not smaller.
        """
        as_long = self.model_copy(update={"production_ps": other.production_ps})
        return as_long == other and self.production_ps <= other.production_ps


Purpose = Literal["transport", "sampling"]


class MolecularDynamicsOutput(Document):
    """What one finished run leaves in ``outputs``; the arrays are in the blob store."""

    kind: Literal["molecular_dynamics"] = "molecular_dynamics"
    calculation_key: str = Field(description="Hash of structure, potential, protocol, temperature and seed")
    material_id: str = Field(description="Hash of the input crystal as submitted")
    material_name: str = Field(description="Name given in the campaign")
    formula: str = Field(description="Reduced formula")
    chemical_system: str = Field(description="Elements, alphabetical, joined by -")
    elements: list[str] = Field(description="Elements, alphabetical")
    n_atoms: int = Field(description="Atoms in the simulated cell", gt=0)
    structure: dict[str, Any] = Field(description="Relaxed starting structure, pymatgen as_dict")
    mobile_ion: str = Field(description="Mobile species")
    charge_number: int = Field(description="Charge of the mobile ion in units of e")
    purpose: Purpose = Field("transport", description="sampling: only to take structures of, never analysed")
    potential: PotentialIdentity
    protocol: MolecularDynamicsProtocol
    temperature_K: float = Field(description="Target temperature", gt=0, json_schema_extra={"unit": "K"})
    seed: int = Field(description="Seed of velocities and thermostat")
    trajectory: BlobReference
    checkpoint: BlobReference | None = Field(
        None, description="State after the last step, from which a longer run goes on"
    )
    history_key: str | None = Field(
        None, description="As calculation_key, without the length: runs that share it begin alike"
    )
    continued_from: str | None = Field(None, description="uuid of the shorter run that it went on from")
    n_continued_steps: int = Field(
        0, ge=0, description="Of n_steps, those of the shorter run; times are of the others only"
    )
    n_frames: int | None = Field(None, description="Frames of the production; none in older documents")
    stored_bytes_per_atom_and_frame: float | None = Field(
        None, description="Size of the stored trajectory", json_schema_extra={"unit": "byte"}
    )
    stored_tolerance_A: float | None = Field(
        None, description="Largest error of a stored coordinate", json_schema_extra={"unit": "angstrom"}
    )
    equilibrated_after_ps: float = Field(
        0.0,
        ge=0,
        description="Start of the production that is left out: energy or volume still moved",
        json_schema_extra={"unit": "ps"},
    )
    stopped: str | None = Field(None, description="Why the run ended before its time; none when it did not")
    warnings: list[str] = Field(default_factory=list, description="What to know before using it")
    mean_temperature_K: float = Field(description="Measured, production", json_schema_extra={"unit": "K"})
    mean_volume_A3: float = Field(
        description="Measured, production", json_schema_extra={"unit": "angstrom^3"}
    )
    n_steps: int = Field(description="Integration steps run")
    potential_time_s: float = Field(description="In the potential", json_schema_extra={"unit": "s"})
    total_time_s: float = Field(description="Whole job", json_schema_extra={"unit": "s"})
    inputs: list[str] = Field(default_factory=list, description="uuids of jobs it came from")
    reused_from: str | None = Field(
        None, description="uuid of the job that ran it, under whatever name; none when this one did"
    )
    versions: dict[str, str] = Field(default_factory=dict, description="Versions of the codes that ran")

    @property
    def production_ps(self) -> float:
        """Length of the production that was run (ps), shorter than asked for when the run was stopped."""
        n_frames = self.protocol.n_frames if self.n_frames is None else self.n_frames
        return n_frames * self.protocol.frame_interval_fs / 1000

    @property
    def first_used_frame(self) -> int:
        """First stored frame that is analysed: after the equilibration asked for and what more was found."""
        found = round(self.equilibrated_after_ps * 1000 / self.protocol.frame_interval_fs)
        return self.protocol.n_equilibration_frames + found


def history_key(
    structure_hash: str,
    potential: PotentialIdentity,
    protocol: MolecularDynamicsProtocol,
    temperature_K: float,
    seed: int,
) -> str:
    """Give the key that runs of different length share when the shorter one is the start of the longer one.

    Parameters
    ----------
    structure_hash, potential, protocol, temperature_K, seed
        As in :func:`molecular_dynamics_key`; the protocol's length does not count.

    Returns
    -------
    str
        Hexadecimal sha256.
    """
    any_length = protocol.model_copy(update={"production_ps": 0.0})
    return content_hash(_what_is_run(structure_hash, potential, any_length, temperature_K, seed))


def molecular_dynamics_key(
    structure_hash: str,
    potential: PotentialIdentity,
    protocol: MolecularDynamicsProtocol,
    temperature_K: float,
    seed: int,
    *,
    watched_ion: str | None = None,
) -> str:
    """Give the idempotency key of a run: what fixes its result, and the version of the code's meaning.

    Names, and the charge of the ion, do not count.

    Parameters
    ----------
    structure_hash : str
        Content hash of the starting structure.
    potential : PotentialIdentity
        Only the hash of the weights and the code count.
    protocol : MolecularDynamicsProtocol
        How it is run.
    temperature_K : float
        Target temperature.
    seed : int
        Seed of velocities and thermostat.
    watched_ion : str, optional
        Mobile element, when the run ends as soon as the framework of the others fails.

    Returns
    -------
    str
        Hexadecimal sha256.
    """
    # runs that are not judged keep the keys of earlier results; judged ones do not: before the windows were
    # fixed they could end elsewhere after a pause
    judged: dict[str, Any] = {"stop_early": False}
    if watched_ion is not None:
        judged = {"judged_on": "windows of a fixed length", "watched_ion": watched_ion}
    return content_hash(judged | _what_is_run(structure_hash, potential, protocol, temperature_K, seed))


def _what_is_run(
    structure_hash: str,
    potential: PotentialIdentity,
    protocol: MolecularDynamicsProtocol,
    temperature_K: float,
    seed: int,
) -> dict[str, Any]:
    return {
        "kind": "molecular_dynamics",
        "meaning": MEANING_VERSION,
        "structure": structure_hash,
        "potential": [potential.code, potential.weights_sha256],
        "protocol": protocol.model_dump(mode="json"),
        "temperature_K": float(temperature_K),
        "seed": seed,
    }
