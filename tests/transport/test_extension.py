"""Decisions on the length of runs, each by hand."""

import pytest

from sse_screen.documents.base import Quantity
from sse_screen.documents.extension import ExtensionRule
from sse_screen.transport.extension import decide_extension, relative_error

RULE = ExtensionRule(relative_error=0.2, maximum_ps=400)


def diffusivity(half_width=None, verdict="diffusive", reasons=()):
    interval = (
        {} if half_width is None else {"lower": 1e-5 * (1 - half_width), "upper": 1e-5 * (1 + half_width)}
    )
    value = {} if half_width is None else {"value": 1e-5}
    return Quantity(unit="cm2/s", verdict=verdict, reasons=list(reasons), **value, **interval)


def test_the_relative_error_is_half_the_interval_over_the_value():
    assert relative_error(diffusivity(0.25)) == pytest.approx(0.25)
    assert relative_error(diffusivity()) is None


@pytest.mark.parametrize(
    ("found", "jumps", "production_ps", "action", "next_ps"),
    [
        (diffusivity(0.19), 300, 50, "reached", None),
        # (0.3 / 0.2)² and a fifth: 2.7 times as long
        (diffusivity(0.3), 120, 50, "extended", 135),
        (diffusivity(0.21), 300, 50, "extended", 75),  # at least half as long again
        (diffusivity(0.9), 40, 50, "extended", 200),  # at most four times as long
        (diffusivity(0.9), 40, 150, "extended", 400),  # never beyond the longest
        (diffusivity(0.9), 40, 400, "budget", None),
        (diffusivity(verdict="upper_limit"), 12, 50, "extended", 100),
        (diffusivity(verdict="upper_limit"), 12, 400, "budget", None),
        # no jump seen: at most 3.69 (95 %, two-sided); in 400 ps not more than 30 when 50 ps were run
        (diffusivity(verdict="upper_limit"), 0, 50, "no_diffusion", None),
        (diffusivity(verdict="upper_limit"), 0, 40, "extended", 80),
        (diffusivity(verdict="refused", reasons=["melted"]), 900, 50, "stopped", None),
        # an interval that belongs to no diffusivity says nothing
        (diffusivity(0.1, verdict="unresolved"), 60, 50, "extended", 100),
    ],
)
def test_decisions(found, jumps, production_ps, action, next_ps):
    decided = decide_extension(found, jumps, production_ps, RULE)
    assert (decided.action, decided.next_production_ps) == (action, next_ps)
    assert decided.reason


def test_the_reason_of_a_refusal_is_kept():
    assert "melted" in decide_extension(diffusivity(verdict="refused", reasons=["melted"]), 1, 9, RULE).reason
