"""Quantities written for people."""

import pytest

from sse_screen.documents.base import Quantity
from sse_screen.reporting.ranking import quantity_text


@pytest.mark.parametrize(
    ("lower", "upper", "unit", "text"),
    [
        (3.2e-20, 5479.0, "cm2/s", "– (known within 23 decades only)"),
        (1.4e-14, 2.5e9, "S/cm", "– (known within 23 decades only)"),
        (1e-8, 5e-5, "S/cm", "1.0e-8 to 5.0e-5 S/cm"),
        (1e-6, 0.6, "eV", "1.0e-6 to 0.6 eV"),
        (-0.1, 0.6, "eV", "-0.1 to 0.6 eV"),
        (None, 1e-5, "cm2/s", "< 1.0e-5 cm2/s"),
    ],
)
def test_an_interval_of_many_decades_is_a_dash_with_the_reason(lower, upper, unit, text):
    assert quantity_text(Quantity(lower=lower, upper=upper, unit=unit, verdict="unresolved")) == text
