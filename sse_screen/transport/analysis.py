"""Everything about transport that trajectories at one temperature can say, in one document."""

from collections.abc import Sequence

from pydantic import Field

from sse_screen.documents.base import Document, Quantity
from sse_screen.dynamics.trajectory import Trajectory, TrajectoryError
from sse_screen.transport.anisotropy import DiffusivityTensor, diffusivity_tensor
from sse_screen.transport.conductivity import charge_of, conductivity
from sse_screen.transport.diffusivity import TracerDiffusivity, fit_ensemble, judge
from sse_screen.transport.ensemble import prepare_ensemble

_SAME_TEMPERATURE = 0.05


class TransportAnalysis(Document):
    """Diffusivities and conductivities of one mobile ion at one temperature, with verdicts."""

    mobile_species: list[str] = Field(description="Symbols of the mobile ion")
    framework_species: list[str] = Field(description="Symbols whose mean was held still")
    temperature_K: float | None = Field(
        default=None, description="Temperature given or recorded", json_schema_extra={"unit": "K"}
    )
    volume_A3: float = Field(description="Mean volume of the cell", json_schema_extra={"unit": "Å³"})
    tracer_diffusivity: Quantity = Field(description="Tracer diffusivity with its interval and verdict")
    charge_diffusivity: Quantity = Field(description="From the collective displacement of the charges")
    haven_ratio: Quantity = Field(
        description="Tracer over charge diffusivity; without a value where it is unresolved"
    )
    nernst_einstein_conductivity: Quantity = Field(description="From the tracer diffusivity, Haven ratio 1")
    charge_conductivity: Quantity = Field(description="From the charge diffusivity")
    charge_number: int | None = Field(default=None, description="Charge of the mobile ion")
    tracer: TracerDiffusivity = Field(description="Fit, gates and curves behind the tracer diffusivity")
    tensor: DiffusivityTensor | None = Field(default=None, description="Null when no slope could be fitted")


def analyze_transport(
    trajectories: Sequence[Trajectory],
    mobile_species: str | Sequence[str],
    framework_species: Sequence[str] | None = None,
    *,
    temperature_K: float | None = None,
    charge: int | None = None,
    hop_distance_A: float | None = None,
    window_ps: tuple[float, float] | None = None,
    confidence: float = 0.95,
) -> TransportAnalysis:
    """Return diffusivities, tensor, conductivities and Haven ratio of replicas at one temperature.

    Parameters
    ----------
    trajectories : sequence of Trajectory
        Replicas of one system at one temperature.
    mobile_species : str or sequence of str
        Symbol(s) of the mobile ion.
    framework_species : sequence of str, optional
        Symbols held still; all that is not mobile if not given.
    temperature_K : float, optional
        Temperature of the conductivity; the mean recorded one if not given.
    charge : int, optional
        Charge number of the ion, where its element has several.
    hop_distance_A, window_ps, confidence
        As in `estimate_diffusivity`.

    Raises
    ------
    InputError
        If the trajectories cannot be pooled, a species is not there, or the charge is needed and not given.
    """
    if temperature_K is not None and not temperature_K > 0:
        raise TrajectoryError(f"temperature_K: {temperature_K} is not a temperature")
    _one_temperature(trajectories)
    ensemble = prepare_ensemble(trajectories, mobile_species, framework_species)
    number = charge_of(ensemble.mobile_species[0], charge)
    fitted = fit_ensemble(ensemble, hop_distance_A=hop_distance_A, window_ps=window_ps)
    tracer = judge(ensemble, fitted, confidence=confidence)
    temperature = temperature_K if temperature_K is not None else ensemble.temperature_K
    charges = conductivity(ensemble, fitted, tracer.tracer_diffusivity, number, temperature, confidence)
    judged = tracer.tracer_diffusivity
    tensor = None if judged.verdict == "refused" else diffusivity_tensor(ensemble, fitted, confidence)
    return TransportAnalysis(
        mobile_species=list(ensemble.mobile_species),
        framework_species=sorted(ensemble.framework),
        temperature_K=temperature,
        volume_A3=ensemble.volume_A3,
        tracer_diffusivity=judged,
        charge_number=number,
        tracer=tracer,
        tensor=None if tensor is None else tensor.no_better_than(judged),
        charge_diffusivity=charges.charge_diffusivity,
        haven_ratio=charges.haven_ratio,
        nernst_einstein_conductivity=charges.nernst_einstein_conductivity,
        charge_conductivity=charges.charge_conductivity,
    )


def _one_temperature(trajectories: Sequence[Trajectory]) -> None:
    """Refuse replicas whose recorded temperatures differ by more than 5 %."""
    recorded = [t.mean_temperature_K for t in trajectories if t.mean_temperature_K is not None]
    if recorded and max(recorded) > (1 + _SAME_TEMPERATURE) * min(recorded):
        raise TrajectoryError(
            f"trajectories: recorded at {min(recorded):.0f} to {max(recorded):.0f} K; "
            "only replicas at one temperature are pooled"
        )
