"""What labels cost before any is made."""

import pytest
from pymatgen.core import Lattice, Structure

from sse_screen.training.cost import META_GGA_FACTOR, label_core_seconds, plane_waves


def lithium_chloride(repeat: int = 1) -> Structure:
    cell = Structure(
        Lattice.from_parameters(3.63, 3.63, 3.63, 60, 60, 60), ["Li", "Cl"], [[0] * 3, [0.5] * 3]
    )
    return cell.make_supercell(repeat, in_place=False)


def test_plane_waves_of_a_cube_are_counted():
    side, cutoff_eV = 12.0, 300.0  # count the reciprocal vectors below the cutoff one by one
    from scipy.constants import angstrom, eV, hbar, m_e

    largest = (2 * m_e * cutoff_eV * eV) ** 0.5 / hbar * angstrom
    step = 2 * 3.141592653589793 / side
    reach = int(largest / step)
    found = sum(
        (i * i + j * j + k * k) * step**2 <= largest**2
        for i in range(-reach, reach + 1)
        for j in range(-reach, reach + 1)
        for k in range(-reach, reach + 1)
    )
    assert plane_waves(side**3, cutoff_eV) == pytest.approx(found, rel=0.01)


@pytest.mark.parametrize(
    ("cutoff_eV", "spacing", "measured_s"), [(340, 0.3, 9.3), (500, 0.3, 16.1), (340, 0.15, 73.0)]
)
def test_estimate_is_within_a_factor_of_two_of_gpaw(cutoff_eV, spacing, measured_s):
    # CPU seconds of GPAW 26.7 for the rattled two-atom cell of LiCl, PBE, one core
    estimate = label_core_seconds(lithium_chloride(), cutoff_eV, spacing, "PBE")
    assert 0.5 < estimate / measured_s < 2


def test_growth():
    small, large = (label_core_seconds(lithium_chloride(n), 400, None, "PBE") for n in (1, 2))
    assert large == pytest.approx(64 * small)  # eight times the atoms and eight times the plane waves
    scan = label_core_seconds(lithium_chloride(), 400, None, "r2SCAN")
    assert scan == pytest.approx(META_GGA_FACTOR * small)
