"""The fast CHGNet against the stock one."""

import subprocess
import sys

import numpy as np
import pytest
from ase.build import bulk

from sse_screen.potentials import load_calculator

CRYSTALS = {
    "rock salt": bulk("NaCl", "rocksalt", 5.64) * (2, 2, 1),
    "one atom": bulk("Cu"),
    "cesium chloride": bulk("CsCl", "cesiumchloride", 4.1) * (1, 2, 1),
}


@pytest.fixture(scope="module")
def calculators():
    return [load_calculator("chgnet", variant=variant, device="cpu") for variant in ("stock", "fast")]


@pytest.mark.parametrize("name", CRYSTALS)
def test_the_fast_calculator_equals_the_stock_one(calculators, name):
    atoms = CRYSTALS[name].copy()
    atoms.rattle(0.05, seed=1)
    results = []
    for calculator in calculators:
        atoms.calc = calculator
        results.append(
            (
                atoms.get_potential_energy(),
                atoms.get_forces(),
                atoms.get_stress(),
                atoms.get_magnetic_moments(),
            )
        )
    (energy, forces, stress, magmoms), fast = results
    assert fast[0] == pytest.approx(energy, abs=2e-6 * len(atoms))
    np.testing.assert_allclose(fast[1], forces, atol=3e-5)
    np.testing.assert_allclose(fast[2], stress, atol=2e-6)
    np.testing.assert_allclose(fast[3], magmoms, atol=1e-5)


def test_loading_prints_nothing():
    code = "from sse_screen.potentials import load_calculator as l; l('chgnet'); l('chgnet', variant='stock')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
