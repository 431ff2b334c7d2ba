"""Whether the framework stays where it is, asked of trajectories by itself."""

from collections.abc import Sequence

from sse_screen.dynamics.trajectory import Trajectory
from sse_screen.transport.displacement_statistics import geometric_lags, lag_statistics, pooled_curve
from sse_screen.transport.ensemble import prepare_ensemble
from sse_screen.transport.gates import Gate, framework_gates


def framework_gate(
    trajectories: Sequence[Trajectory],
    mobile_species: str | Sequence[str],
    framework_species: Sequence[str] | None = None,
) -> Gate | None:
    """Return the test of the framework that a diffusivity has to pass too.

    Parameters
    ----------
    trajectories : sequence of Trajectory
        Replicas of one system at one temperature.
    mobile_species : str or sequence of str
        Symbol(s) of the mobile ion.
    framework_species : sequence of str, optional
        Symbols held still; all that is not mobile if not given.

    Returns
    -------
    Gate or None
        Refused for a melt; None without a framework or with too few frames to tell.
    """
    ensemble = prepare_ensemble(trajectories, mobile_species, framework_species)
    longest = max((len(piece) for piece in ensemble.mobile), default=0)
    if not ensemble.framework or longest < 10:
        return None
    lags = geometric_lags(longest, 30)
    statistics = lag_statistics(ensemble.mobile, ensemble.time_step_ps, lags)
    curves = {symbol: pooled_curve(pieces, lags) for symbol, pieces in ensemble.framework.items()}
    start_ps = float(statistics.times_ps[len(lags) // 2])
    slope = float(statistics.msd_A2[-1] / statistics.times_ps[-1])
    return framework_gates(ensemble.framework, curves, statistics, start_ps, slope)[0]
