"""Against kinisi on the same walks (extra `cross-check`)."""

import numpy as np
import pytest
from ase import Atoms

from sse_screen.transport.diffusivity import fit_ensemble
from sse_screen.transport.ensemble import Ensemble
from sse_screen.transport.synthetic import uncorrelated_hops, vibrations

scipp = pytest.importorskip("scipp", reason="kinisi is not installed: pip install 'sse-screen[cross-check]'")
analyze = pytest.importorskip(
    "kinisi.analyze", reason="kinisi is not installed: pip install 'sse-screen[cross-check]'"
)

FRAMES, IONS, REPEATS = 500, 24, 40


def kinisi_diffusivity(moved, start_frames):
    """Mean of the posterior in Å² per frame, from about 50 lags."""
    still = np.full((FRAMES, 4, 3), 20.0)
    images = [
        Atoms(["Li"] * IONS + ["S"] * 4, positions=frame, cell=np.eye(3) * 500, pbc=True)
        for frame in np.concatenate([moved + 50, still], axis=1)
    ]
    lags = np.unique(np.append(np.round(np.geomspace(1, 0.7 * FRAMES, 50)), start_frames))
    found = analyze.DiffusionAnalyzer.from_ase(
        images,
        specie="Li",
        time_step=1.0 * scipp.Unit("ps"),
        step_skip=1 * scipp.units.dimensionless,
        dt=scipp.array(dims=["time interval"], values=lags, unit="ps"),
        progress=False,
    )
    found.diffusion(
        start_dt=start_frames * scipp.Unit("ps"),
        progress=False,
        n_samples=200,
        random_state=np.random.RandomState(0),
    )
    return float(np.mean(found.D.values)) * 1e4


def test_spread_is_no_wider_than_that_of_kinisi():
    generator = np.random.default_rng(4)
    walks, truth = uncorrelated_hops(REPEATS, IONS, FRAMES, 250, generator)
    walks = walks + vibrations(walks.shape, 0.15, 3.0, generator)
    start = float(round(4 / (6 * truth)))  # one squared hop
    ours, theirs = [], []
    for moved in walks:
        ensemble = Ensemble(1.0, ("Li",), [moved], {}, np.eye(3) * 8, 512.0, 2.0, None, 0.0)
        ours.append(np.log(fit_ensemble(ensemble).scan.fit.slope / 6 / truth))
        theirs.append(np.log(kinisi_diffusivity(moved, start) / truth))
    # Sixteen pairs know the ratio of spreads to about a fifth.
    assert np.std(ours) < 1.1 * np.std(theirs), f"ours {np.std(ours):.3f}, kinisi {np.std(theirs):.3f}"
    assert abs(np.mean(ours)) < 0.1
    assert np.corrcoef(ours, theirs)[0, 1] > 0.5
