"""Whether runs go on: until the diffusivity is known well enough, cannot become so, or the time is spent."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sse_screen.documents.base import Quantity
from sse_screen.documents.extension import ExtensionAction, ExtensionRule
from sse_screen.transport.gates import MINIMUM_JUMPS
from sse_screen.transport.jump_statistics import poisson_interval

_LEAST_GROWTH, _MOST_GROWTH = 1.5, 4.0
_MARGIN = 1.2


@dataclass(frozen=True)
class Extension:
    """What to do, why, the relative error so far, and the next production (ps) where the runs go on."""

    action: ExtensionAction
    reason: str
    relative_error: float | None = None
    next_production_ps: float | None = None


def relative_error(diffusivity: Quantity) -> float | None:
    """Give half the interval over the value.

    Parameters
    ----------
    diffusivity : Quantity
        With its interval.

    Returns
    -------
    float or None
        None when there is no value or no bounded interval.
    """
    value, lower, upper = diffusivity.value, diffusivity.lower, diffusivity.upper
    if value is None or lower is None or upper is None or value <= 0:
        return None
    return (upper - lower) / (2 * value)


def decide_extension(
    diffusivity: Quantity, n_jumps: float, production_ps: float, rule: ExtensionRule
) -> Extension:
    """Decide after a round of runs.

    The error of a diffusivity falls with the root of the time; the next round is as long as that asks for
    with a margin of a fifth, at least half as long again and at most four times as long as this one.

    Parameters
    ----------
    diffusivity : Quantity
        Tracer diffusivity of all runs of the round, with its verdict.
    n_jumps : float
        Effective jumps in them.
    production_ps : float
        Production of each (ps).
    rule : ExtensionRule
        What is enough, and the longest production.

    Returns
    -------
    Extension
        The decision.
    """
    error = relative_error(diffusivity) if diffusivity.verdict in ("ok", "diffusive") else None
    if diffusivity.verdict == "refused":
        return Extension("stopped", "; ".join(diffusivity.reasons) or "the diffusivity is refused")
    if error is not None and error <= rule.relative_error:
        return Extension("reached", f"relative error {error:.2g}, {rule.relative_error:g} wanted", error)
    known = "not known yet" if error is None else f"{error:.2g}"
    if production_ps >= rule.maximum_ps:
        reason = (
            f"relative error {known}, {rule.relative_error:g} wanted, after the longest production allowed"
        )
        return Extension("budget", f"{reason} ({rule.maximum_ps:g} ps)", error)
    most = poisson_interval(int(n_jumps))[1] * rule.maximum_ps / production_ps
    if error is None and most < MINIMUM_JUMPS:
        reason = (
            f"{n_jumps:.2g} effective jumps in {production_ps:g} ps: at most {most:.2g} are to be expected "
            f"in {rule.maximum_ps:g} ps, too few for a diffusivity ({MINIMUM_JUMPS:g})"
        )
        return Extension("no_diffusion", reason)
    growth = 2.0 if error is None else _MARGIN * (error / rule.relative_error) ** 2
    growth = min(max(growth, _LEAST_GROWTH), _MOST_GROWTH)
    length_ps = min(math.ceil(production_ps * growth - 1e-9), rule.maximum_ps)
    reason = f"relative error {known}, {rule.relative_error:g} wanted: the runs go on to {length_ps:g} ps"
    return Extension("extended", reason, error, float(length_ps))
