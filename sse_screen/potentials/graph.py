"""Crystal graphs as arrays: bonds within a cutoff and the angles between short bonds.

The same graph as CHGNet's (Deng et al., Nat. Mach. Intell. 5, 1031 (2023)): every undirected bond within the
atom-graph cutoff, and every ordered pair of bonds shorter than the bond-graph cutoff that share an atom. It
is built directly as arrays by compiled loops, without an object for each edge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sse_screen.exceptions import InputError
from sse_screen.potentials.vector_math import plain

COINCIDENT_A = 1e-4


@dataclass(frozen=True)
class CrystalGraph:
    """One crystal's graph, or several side by side.

    Bonds are undirected, those shorter than the bond-graph cutoff first. Directed edges are sorted by their
    centre; angles by their first edge.

    Attributes
    ----------
    atomic_numbers : NDArray
        (n_atoms,) int64.
    bond_atoms : NDArray
        (n_bonds, 2) int64, the two ends i, j.
    bond_vectors : NDArray
        (n_bonds, 3) float64, r_i - r_j (with j's periodic image) in Å.
    n_short : int
        How many of the bonds (the first ones) are in the bond graph.
    edge_bond, edge_neighbor : NDArray
        (2 n_bonds,) int64, bond and far atom of each directed edge.
    edge_center : NDArray
        (2 n_bonds,) int64, near atom of each directed edge.
    short_bond : NDArray
        (2 n_short,) int64, bond of each directed edge of the bond graph.
    short_sign : NDArray
        (2 n_short,) float64, 1 where the edge's centre is the bond's atom i, else -1.
    short_center : NDArray
        (2 n_short,) int64, centre of each directed edge of the bond graph.
    angle_first, angle_second : NDArray
        (n_angles,) int64, short edges of each angle.
    """

    atomic_numbers: NDArray
    bond_atoms: NDArray
    bond_vectors: NDArray
    n_short: int
    edge_bond: NDArray
    edge_neighbor: NDArray
    edge_center: NDArray
    short_bond: NDArray
    short_sign: NDArray
    short_center: NDArray
    angle_first: NDArray
    angle_second: NDArray

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.atomic_numbers)

    @property
    def n_bonds(self) -> int:
        """Number of undirected bonds."""
        return len(self.bond_atoms)

    @property
    def n_angles(self) -> int:
        """Number of ordered pairs of short bonds that share their centre."""
        return len(self.angle_first)


@plain
def _find_bonds(
    fractional: NDArray,
    cell: NDArray,
    reach: NDArray,
    periodic: NDArray,
    cutoff: float,
    atoms: NDArray,
    vectors: NDArray,
    lengths: NDArray,
) -> int:
    """Write all undirected bonds into the given arrays; return how many there are (it may exceed them)."""
    n_atoms, capacity, count = len(fractional), len(lengths), 0
    low = np.zeros(3, dtype=np.int64)
    high = np.zeros(3, dtype=np.int64)
    for i in range(n_atoms):
        for j in range(i, n_atoms):
            for k in range(3):
                if periodic[k]:
                    delta = fractional[i, k] - fractional[j, k]
                    low[k] = int(np.ceil(delta - reach[k]))
                    high[k] = int(np.floor(delta + reach[k]))
            for a in range(low[0], high[0] + 1):
                for b in range(low[1], high[1] + 1):
                    for c in range(low[2], high[2] + 1):
                        if i == j and (a < 0 or (a == 0 and (b < 0 or (b == 0 and c <= 0)))):
                            continue
                        u = fractional[i, 0] - fractional[j, 0] - a
                        v = fractional[i, 1] - fractional[j, 1] - b
                        w = fractional[i, 2] - fractional[j, 2] - c
                        x = u * cell[0, 0] + v * cell[1, 0] + w * cell[2, 0]
                        y = u * cell[0, 1] + v * cell[1, 1] + w * cell[2, 1]
                        z = u * cell[0, 2] + v * cell[1, 2] + w * cell[2, 2]
                        squared = x * x + y * y + z * z
                        if squared < cutoff * cutoff:
                            if count < capacity:
                                atoms[count, 0] = i
                                atoms[count, 1] = j
                                vectors[count, 0] = x
                                vectors[count, 1] = y
                                vectors[count, 2] = z
                                lengths[count] = np.sqrt(squared)
                            count += 1
    return count


@plain
def _directed_edges(bond_atoms: NDArray, n_atoms: int) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Sort both directions of every bond by centre: bond, far atom, sign, start of each centre."""
    n_bonds = len(bond_atoms)
    start = np.zeros(n_atoms + 1, dtype=np.int64)
    for bond in range(n_bonds):
        start[bond_atoms[bond, 0] + 1] += 1
        start[bond_atoms[bond, 1] + 1] += 1
    for atom in range(n_atoms):
        start[atom + 1] += start[atom]
    place = start.copy()
    edge_bond = np.empty(2 * n_bonds, dtype=np.int64)
    edge_neighbor = np.empty(2 * n_bonds, dtype=np.int64)
    sign = np.empty(2 * n_bonds, dtype=np.float64)
    for bond in range(n_bonds):
        i, j = bond_atoms[bond, 0], bond_atoms[bond, 1]
        edge_bond[place[i]] = bond
        edge_neighbor[place[i]] = j
        sign[place[i]] = 1.0
        place[i] += 1
        edge_bond[place[j]] = bond
        edge_neighbor[place[j]] = i
        sign[place[j]] = -1.0
        place[j] += 1
    return edge_bond, edge_neighbor, sign, start


@plain
def _angle_pairs(short_start: NDArray) -> tuple[NDArray, NDArray]:
    """First and second edge of every ordered pair of short edges that share their centre."""
    total = 0
    for atom in range(len(short_start) - 1):
        count = short_start[atom + 1] - short_start[atom]
        total += count * (count - 1)
    first = np.empty(total, dtype=np.int64)
    second = np.empty(total, dtype=np.int64)
    angle = 0
    for atom in range(len(short_start) - 1):
        for a in range(short_start[atom], short_start[atom + 1]):
            for b in range(short_start[atom], short_start[atom + 1]):
                if a != b:
                    first[angle] = a
                    second[angle] = b
                    angle += 1
    return first, second


def _bonds(
    positions: NDArray, cell: NDArray, periodic: NDArray, cutoff_A: float
) -> tuple[NDArray, NDArray, NDArray]:
    """Atoms, vectors and lengths of all undirected bonds."""
    basis = np.where(periodic[:, None], cell, np.eye(3))
    volume = abs(np.linalg.det(basis))
    if volume < 1e-6:
        raise InputError(
            "cell: its periodic vectors span no volume; give a cell with three independent vectors, "
            "or switch periodicity off along the directions without one"
        )
    if not (np.isfinite(positions).all() and np.isfinite(cell).all()):
        raise InputError("positions or cell hold values that are not finite; the run before has diverged")
    inverse = np.linalg.inv(basis)
    reach = cutoff_A * np.linalg.norm(inverse, axis=0)
    fractional = positions @ inverse
    sphere = 4 / 3 * np.pi * cutoff_A**3
    capacity = int(len(positions) ** 2 / volume * sphere * 0.6) if periodic.all() else 0
    capacity = min(max(64, capacity), 200 * len(positions) + 64)
    while True:
        atoms = np.empty((capacity, 2), dtype=np.int64)
        vectors, lengths = np.empty((capacity, 3)), np.empty(capacity)
        count = _find_bonds(fractional, basis, reach, periodic, cutoff_A, atoms, vectors, lengths)
        if count <= capacity:
            return atoms[:count], vectors[:count], lengths[:count]
        capacity = count


def build_graph(
    atomic_numbers: NDArray,
    positions: NDArray,
    cell: NDArray,
    periodic: NDArray,
    *,
    cutoff_A: float = 6.0,
    short_cutoff_A: float = 3.0,
) -> CrystalGraph:
    """Build the graph of one crystal.

    Parameters
    ----------
    atomic_numbers : NDArray
        (n_atoms,).
    positions : NDArray
        (n_atoms, 3) Cartesian, Å; atoms need not lie inside the cell.
    cell : NDArray
        (3, 3) lattice vectors as rows, Å.
    periodic : NDArray
        (3,) bool, which lattice vectors repeat.
    cutoff_A : float
        Longest bond.
    short_cutoff_A : float
        Longest bond that makes angles.

    Returns
    -------
    CrystalGraph
        The graph.

    Raises
    ------
    InputError
        A cell without volume, values that are not finite, or two atoms in one place.
    """
    numbers = np.asarray(atomic_numbers, dtype=np.int64)
    periodic = np.ascontiguousarray(periodic, dtype=np.bool_)
    atoms, vectors, lengths = _bonds(
        np.asarray(positions, dtype=float), np.asarray(cell, dtype=float), periodic, cutoff_A
    )
    short = lengths < short_cutoff_A
    if short.any() and lengths.min() < COINCIDENT_A:
        i, j = atoms[lengths.argmin()]
        raise InputError(f"positions: atoms {i} and {j} are in one place; remove one of them")
    order = np.concatenate([np.flatnonzero(short), np.flatnonzero(~short)])
    return _assemble(numbers, atoms[order], vectors[order], int(short.sum()))


def _assemble(numbers: NDArray, atoms: NDArray, vectors: NDArray, n_short: int) -> CrystalGraph:
    """Edges and angles of sorted bonds."""
    edge_bond, edge_neighbor, _, edge_start = _directed_edges(atoms, len(numbers))
    short_bond, _, short_sign, short_start = _directed_edges(atoms[:n_short], len(numbers))
    angle_first, angle_second = _angle_pairs(short_start)
    return CrystalGraph(
        atomic_numbers=numbers,
        bond_atoms=atoms,
        bond_vectors=vectors,
        n_short=n_short,
        edge_bond=edge_bond,
        edge_neighbor=edge_neighbor,
        edge_center=np.repeat(np.arange(len(numbers)), np.diff(edge_start)),
        short_bond=short_bond,
        short_sign=short_sign,
        short_center=np.repeat(np.arange(len(numbers)), np.diff(short_start)),
        angle_first=angle_first,
        angle_second=angle_second,
    )
