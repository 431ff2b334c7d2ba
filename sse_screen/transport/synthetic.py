"""Trajectories whose diffusivity is known: what estimators are tested on and tutorials run on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sse_screen.dynamics.trajectory import Trajectory

FloatArray = NDArray[np.float64]

_DIRECTIONS = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]])
_OPPOSITE = np.array([1, 0, 3, 2, 5, 4])


def vibrations(
    shape: tuple[int, ...], amplitude_A: float, correlation_frames: float, generator: np.random.Generator
) -> FloatArray:
    """Return stationary Ornstein-Uhlenbeck vibrations along the second last but one axis.

    Parameters
    ----------
    shape : tuple of int
        (..., n_frames, n_atoms, 3).
    amplitude_A : float
        Standard deviation per Cartesian component in Å.
    correlation_frames : float
        Correlation time in frames.
    generator : numpy.random.Generator
        Source of random numbers.
    """
    memory = np.exp(-1.0 / correlation_frames) if correlation_frames > 0 else 0.0
    noise = generator.standard_normal(shape)
    kick = np.sqrt(1 - memory**2)
    for frame in range(1, shape[-3]):
        noise[..., frame, :, :] = memory * noise[..., frame - 1, :, :] + kick * noise[..., frame, :, :]
    return amplitude_A * noise


def uncorrelated_hops(
    n_trajectories: int,
    n_ions: int,
    n_frames: int,
    jumps: float,
    generator: np.random.Generator,
    hop_A: float = 2.0,
) -> tuple[FloatArray, float]:
    """Return hopping displacements of independent ions on a simple cubic lattice.

    Parameters
    ----------
    n_trajectories, n_ions, n_frames : int
        Shape of the set.
    jumps : float
        Mean number of jumps of all ions together in one trajectory.
    generator : numpy.random.Generator
        Source of random numbers.
    hop_A : float
        Hop length in Å.

    Returns
    -------
    displacements_A : numpy.ndarray
        Shape (n_trajectories, n_frames, n_ions, 3).
    diffusivity_A2_per_frame : float
        Exact tracer diffusivity, rate × hop² / 6, in Å² per frame.
    """
    rate = jumps / (n_ions * (n_frames - 1))
    counts = generator.poisson(rate / 6, size=(n_trajectories, n_frames, n_ions, 6)).astype(np.int8)
    counts[:, 0] = 0
    steps = counts @ _DIRECTIONS.astype(float)
    return hop_A * np.cumsum(steps, axis=1), rate * hop_A**2 / 6


def persistent_hops(
    n_trajectories: int,
    n_ions: int,
    n_frames: int,
    jumps: float,
    generator: np.random.Generator,
    persistence: float = 0.5,
    hop_A: float = 2.0,
) -> tuple[FloatArray, float]:
    """Return hopping displacements of independent ions that tend to go on in the direction of a jump.

    Parameters
    ----------
    n_trajectories, n_ions, n_frames : int
        Shape of the set.
    jumps : float
        Mean number of effective jumps (those of uncorrelated hops of the same diffusivity) of all ions
        together in one trajectory.
    generator : numpy.random.Generator
        Source of random numbers.
    persistence : float
        Mean cosine p between successive jumps: one repeats the last direction with probability p, and is in a
        random one of the six otherwise.
    hop_A : float
        Hop length in Å.

    Returns
    -------
    displacements_A : numpy.ndarray
        Shape (n_trajectories, n_frames, n_ions, 3).
    diffusivity_A2_per_frame : float
        Exact tracer diffusivity, rate × hop² / 6 × (1 + p)/(1 − p), in Å² per frame.
    """
    rate = jumps / (n_ions * (n_frames - 1))
    per_frame = rate * (1 - persistence) / (1 + persistence)
    shape = (n_trajectories, n_ions)
    last = generator.integers(6, size=shape)
    position = np.zeros((*shape, 3))
    frames = np.zeros((n_trajectories, n_frames, n_ions, 3))
    for frame in range(1, n_frames):
        jumped = generator.random(shape) < per_frame
        turned = jumped & (generator.random(shape) >= persistence)
        last = np.where(turned, generator.integers(6, size=shape), last)
        position += hop_A * _DIRECTIONS[last] * jumped[..., None]
        frames[:, frame] = position
    return frames, rate * hop_A**2 / 6


@dataclass(frozen=True)
class LatticeGas:
    """Ions with memory on a periodic simple cubic lattice on which no two share a site.

    After a jump an ion tries to go straight back with extra weight, so that part of the jumps is undone;
    a jump onto an occupied site is refused. Both make successive jumps anti-correlated.

    Parameters
    ----------
    n_ions : int
        Number of ions.
    edge : int
        Sites along each edge of the cell.
    back_weight : float
        Weight of the direction that undoes the last jump, against 1 of each other one.
    hop_A : float
        Distance between sites in Å.
    """

    n_ions: int = 24
    edge: int = 4
    back_weight: float = 5.0
    hop_A: float = 2.0

    def run(
        self, n_trajectories: int, n_frames: int, attempts_per_frame: int, generator: np.random.Generator
    ) -> FloatArray:
        """Return displacements in Å, shape (n_trajectories, n_frames, n_ions, 3), from the steady state.

        Every attempt picks an ion at random and one of its six directions by weight.
        """
        sites = self.edge**3
        order = np.argsort(generator.random((n_trajectories, sites)), axis=1)[:, : self.n_ions]
        position = np.stack(np.unravel_index(order, (self.edge,) * 3), axis=-1).astype(np.int32)
        start = np.zeros_like(position)
        rows = np.arange(n_trajectories)
        occupied = np.zeros((n_trajectories, sites), dtype=bool)
        occupied[rows[:, None], order] = True
        last = np.full((n_trajectories, self.n_ions), -1, dtype=np.int8)
        frames = np.empty((n_trajectories, n_frames, self.n_ions, 3), dtype=np.float32)
        equilibration = 20 * self.n_ions
        for _ in range(equilibration):
            self._attempt(rows, position, occupied, last, generator)
        start[:] = position
        for frame in range(n_frames):
            frames[:, frame] = self.hop_A * (position - start)
            for _ in range(attempts_per_frame):
                self._attempt(rows, position, occupied, last, generator)
        return frames.astype(float)

    def _attempt(
        self,
        rows: NDArray[np.intp],
        position: NDArray[np.int32],
        occupied: NDArray[np.bool_],
        last: NDArray[np.int8],
        generator: np.random.Generator,
    ) -> None:
        """Try one jump in every trajectory."""
        ion = generator.integers(self.n_ions, size=len(rows))
        before = last[rows, ion]
        direction = generator.integers(6, size=len(rows))
        back = (generator.random(len(rows)) * (5 + self.back_weight) < self.back_weight - 1) & (before >= 0)
        direction = np.where(back, _OPPOSITE[before], direction)
        here = position[rows, ion]
        there = here + _DIRECTIONS[direction]
        old, new = self._index(here), self._index(there)
        free = ~occupied[rows, new]
        chosen, moved = rows[free], ion[free]
        occupied[chosen, old[free]] = False
        occupied[chosen, new[free]] = True
        position[chosen, moved] = there[free]
        last[chosen, moved] = direction[free]

    def _index(self, position: NDArray[np.int32]) -> NDArray[np.intp]:
        """Return the flat site index of unwrapped lattice positions."""
        folded = position % self.edge
        return (folded[:, 0] * self.edge + folded[:, 1]) * self.edge + folded[:, 2]


def as_trajectory(
    mobile_A: FloatArray,
    time_step_ps: float,
    generator: np.random.Generator,
    mobile_species: str = "Li",
    framework_species: tuple[str, ...] = ("S",) * 24,
    framework_amplitude_A: float = 0.15,
    edge_A: float = 12.0,
    wrapped: bool = False,
) -> Trajectory:
    """Return a periodic trajectory of given mobile displacements in a vibrating framework.

    Parameters
    ----------
    mobile_A : numpy.ndarray
        Displacements of the mobile ions in Å, shape (n_frames, n_ions, 3).
    time_step_ps : float
        Time between frames in ps.
    generator : numpy.random.Generator
        Source of random numbers.
    mobile_species : str
        Symbol of the mobile ion.
    framework_species : tuple of str
        Symbols of the framework atoms, on random places.
    framework_amplitude_A : float
        Standard deviation of their vibration per component in Å.
    edge_A : float
        Edge of the cubic cell in Å.
    wrapped : bool
        Fold the positions into the cell.
    """
    n_frames, n_ions = mobile_A.shape[:2]
    n_framework = len(framework_species)
    places = edge_A * generator.random((n_ions + n_framework, 3))
    framework = vibrations((n_frames, n_framework, 3), framework_amplitude_A, 3.0, generator)
    positions = places + np.concatenate([mobile_A, framework], axis=1)
    if wrapped:
        positions %= edge_A
    species = (mobile_species,) * n_ions + tuple(framework_species)
    return Trajectory(
        positions, np.eye(3) * edge_A, species, time_step_ps * np.arange(n_frames), unwrapped=not wrapped
    )
