"""Site changes, drifts and temperatures of a constant-energy run."""

import numpy as np
import pytest

from sse_screen.exceptions import InputError
from sse_screen.thermodynamics.run_checks import check_run, moved_atoms

RNG = np.random.default_rng(0)
TIMES = np.arange(300) * 0.02
STILL = RNG.normal(0.0, 0.25, (300, 12, 3)) + RNG.uniform(0, 10, (12, 3))


def test_rattling_crystal_passes_also_while_it_drifts():
    drifting = STILL + 0.5 * TIMES[:, None, None]
    temperatures = 300 + RNG.normal(0, 15, 300)
    energies = -100 + RNG.normal(0, 1e-4, 300)
    found = check_run(
        drifting, TIMES, target_temperature_K=300, temperatures_K=temperatures, total_energies_eV=energies
    )
    assert found.moved_atoms == ()
    assert found.flags == ()
    assert found.mean_temperature_K == pytest.approx(300, abs=5)


def test_hop_is_found_and_a_hop_back_is_not():
    hopped = STILL.copy()
    hopped[150:, 4] += [2.0, 0.0, 0.0]
    hopped[100:130, 7] += [2.0, 0.0, 0.0]
    assert moved_atoms(hopped) == (4,)
    assert "changed their site" in check_run(hopped, TIMES, target_temperature_K=300).flags[0]


def test_drift_and_temperature_are_flagged():
    found = check_run(
        STILL,
        TIMES,
        target_temperature_K=300,
        temperatures_K=np.full(300, 250.0),
        total_energies_eV=-100 + 0.02 * TIMES,
    )
    assert found.energy_drift_meV_per_atom_per_ps == pytest.approx(20 / 12)
    assert len(found.flags) == 2


def test_too_few_frames():
    with pytest.raises(InputError, match="three frames"):
        moved_atoms(STILL[:2])
