"""The network of sites: percolating directions, superbasins, graph order parameter."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from sse_screen.exceptions import InputError
from sse_screen.transport.jumps import Jumps

Array = NDArray[np.floating]
Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class JumpNetwork:
    """Sites as nodes, pairs of sites with jumps between them as edges, one edge for each periodic image.

    Attributes
    ----------
    n_sites : int
        Number of nodes.
    origin, destination : ndarray of int, shape (n_edges,)
        Ends of the edges.
    image : ndarray of int, shape (n_edges, 3)
        Lattice translation of the destination relative to the origin.
    forward, backward : ndarray, shape (n_edges,)
        Jumps from origin to destination and back.
    """

    n_sites: int
    origin: Indices
    destination: Indices
    image: Indices
    forward: Indices
    backward: Indices

    @property
    def counts(self) -> Indices:
        """Jumps along each edge in both directions, shape (n_edges,)."""
        return self.forward + self.backward

    def only(self, chosen: NDArray[np.bool_]) -> "JumpNetwork":
        """Keep some of the edges and all nodes."""
        return JumpNetwork(
            self.n_sites,
            self.origin[chosen],
            self.destination[chosen],
            self.image[chosen],
            self.forward[chosen],
            self.backward[chosen],
        )


def jump_network(jumps: Jumps, n_sites: int) -> JumpNetwork:
    """Collect the jumps into undirected periodic edges.

    Parameters
    ----------
    jumps : Jumps
        Jumps.
    n_sites : int
        Number of sites.

    Returns
    -------
    JumpNetwork
        Edges sorted by their ends and images.
    """
    ends = np.column_stack([jumps.origin, jumps.destination, jumps.image])
    mirror = np.column_stack([jumps.destination, jumps.origin, -jumps.image])
    difference = ends - mirror
    first = np.argmax(difference != 0, axis=1)
    flipped = difference[np.arange(len(ends)), first] > 0
    edges = np.where(flipped[:, None], mirror, ends)
    unique, index = np.unique(edges.reshape(-1, 5), axis=0, return_inverse=True)
    index = index.ravel()
    forward = np.bincount(index[~flipped], minlength=len(unique))
    backward = np.bincount(index[flipped], minlength=len(unique))
    return JumpNetwork(n_sites, unique[:, 0], unique[:, 1], unique[:, 2:], forward, backward)


@dataclass(frozen=True, eq=False)
class Component:
    """Connected part of a periodic network.

    Attributes
    ----------
    sites : tuple of int
        Its nodes.
    windings : ndarray of int, shape (dimension, 3)
        Basis of the lattice translations by which one gets from a node to its own images; none for a cage.
    """

    sites: tuple[int, ...]
    windings: Indices

    @property
    def dimension(self) -> int:
        """Number of independent directions in which it percolates, 0 to 3."""
        return len(self.windings)

    @property
    def axes(self) -> tuple[bool, bool, bool]:
        """Whether it percolates along each of the lattice vectors a, b, c alone."""
        along = [
            self.dimension > 0
            and np.linalg.matrix_rank(np.vstack([self.windings, np.eye(3)[k]])) == self.dimension
            for k in range(3)
        ]
        return bool(along[0]), bool(along[1]), bool(along[2])


def components(n_nodes: int, origin: Indices, destination: Indices, image: Indices) -> list[Component]:
    """Find the connected parts of a periodic graph and the directions in which each percolates.

    A part percolates along the lattice translations that add up around its closed walks (quotient graph:
    Chung, Hahn and Klee, Acta Cryst. A 1984).

    Parameters
    ----------
    n_nodes : int
        Number of nodes.
    origin, destination : ndarray of int, shape (n_edges,)
        Ends of the edges.
    image : ndarray of int, shape (n_edges, 3)
        Lattice translation of the destination relative to the origin.

    Returns
    -------
    list of Component
        Highest dimension first, then largest first; single nodes included.
    """
    neighbours: list[list[tuple[int, tuple[int, int, int]]]] = [[] for _ in range(n_nodes)]
    for i, j, n in zip(origin.tolist(), destination.tolist(), image.tolist(), strict=True):
        neighbours[i].append((j, (n[0], n[1], n[2])))
        neighbours[j].append((i, (-n[0], -n[1], -n[2])))
    offset: list[tuple[int, int, int] | None] = [None] * n_nodes
    found = []
    for root in range(n_nodes):
        if offset[root] is not None:
            continue
        offset[root] = (0, 0, 0)
        members, cycles = [root], set()
        for node in members:
            here = offset[node] or (0, 0, 0)
            for other, step in neighbours[node]:
                arrived = (here[0] + step[0], here[1] + step[1], here[2] + step[2])
                known = offset[other]
                if known is None:
                    offset[other] = arrived
                    members.append(other)
                elif arrived != known:
                    cycles.add((arrived[0] - known[0], arrived[1] - known[1], arrived[2] - known[2]))
        found.append(Component(tuple(sorted(members)), _lattice_basis(sorted(cycles))))
    return sorted(found, key=lambda part: (-part.dimension, -len(part.sites), part.sites))


def _lattice_basis(vectors: Sequence[tuple[int, int, int]]) -> Indices:
    """Row-echelon basis of the lattice spanned by integer vectors (Euclid's algorithm by columns)."""
    rows = [list(vector) for vector in vectors]
    basis = []
    for column in range(3):
        while True:
            active = sorted((row for row in rows if row[column]), key=lambda row: abs(row[column]))
            if len(active) < 2:
                break
            pivot = active[0]
            for row in active[1:]:
                factor = row[column] // pivot[column]
                row[:] = [a - factor * b for a, b in zip(row, pivot, strict=True)]
            rows = [row for row in rows if any(row)]
        if active:
            sign = 1 if active[0][column] > 0 else -1
            basis.append([sign * value for value in active[0]])
            rows = [row for row in rows if row is not active[0]]
    return np.array(basis, dtype=np.int64).reshape(-1, 3)


def network_components(network: JumpNetwork) -> list[Component]:
    """Find the connected parts of a jump network (see `components`)."""
    return components(network.n_sites, network.origin, network.destination, network.image)


def percolation_thresholds(network: JumpNetwork, weights: Array) -> dict[int, float]:
    """Find the bottleneck of percolation: the largest weight that must still be allowed.

    Parameters
    ----------
    network : JumpNetwork
        Network.
    weights : ndarray, shape (n_edges,)
        Larger is easier, such as counts or rates.

    Returns
    -------
    dict of int to float
        For each dimension that is reached (1, 2, 3): the weight of the weakest edge of the strongest
        subnetwork that percolates in so many directions.
    """
    levels = np.unique(weights)[::-1]
    thresholds = {}
    for dimension in (1, 2, 3):
        low, high = 0, len(levels)
        while low < high:
            middle = (low + high) // 2
            part = network.only(weights >= levels[middle])
            reached = max((c.dimension for c in network_components(part)), default=0)
            if reached >= dimension:
                high = middle
            else:
                low = middle + 1
        if low == len(levels):
            break
        thresholds[dimension] = float(levels[low])
    return thresholds


@dataclass(frozen=True)
class Superbasin:
    """Sites among which an ion jumps far more often than it leaves them.

    Attributes
    ----------
    sites : tuple of int
        Members.
    internal_jumps, escapes : int
        Jumps between members, and from a member to any other site.
    """

    sites: tuple[int, ...]
    internal_jumps: int
    escapes: int


def superbasins(network: JumpNetwork, *, minimum_ratio: float = 5.0) -> list[Superbasin]:
    """Find groups of sites held together by frequent jumps and left by rare ones.

    Sites are linked in the order of their exchange (jumps in both directions, single linkage). A group is a
    superbasin if its weakest link carries at least `minimum_ratio` times the jumps of its strongest link to
    anywhere else (a link without jumps counts as one jump), and if it does not percolate.

    Parameters
    ----------
    network : JumpNetwork
        Network.
    minimum_ratio : float
        Separation of scales between inside and outside.

    Returns
    -------
    list of Superbasin
        The largest such groups, disjoint, largest first.
    """
    exchange = np.zeros((network.n_sites, network.n_sites), dtype=np.int64)
    np.add.at(exchange, (network.origin, network.destination), network.counts)
    exchange += exchange.T
    np.fill_diagonal(exchange, 0)
    chosen: list[Superbasin] = []
    taken: set[int] = set()
    for members, birth in sorted(_linkage(exchange), key=lambda group: -len(group[0])):
        inside = np.zeros(network.n_sites, dtype=bool)
        inside[members] = True
        strongest = max(1, int(exchange[inside][:, ~inside].max(initial=0)))
        if taken.intersection(members) or birth < minimum_ratio * strongest:
            continue
        edges = inside[network.origin] & inside[network.destination]
        if network_components(network.only(edges))[0].dimension:
            continue
        taken.update(members)
        leaving = inside[network.origin] & ~inside[network.destination]
        entering = ~inside[network.origin] & inside[network.destination]
        escapes = int(network.forward[leaving].sum() + network.backward[entering].sum())
        chosen.append(Superbasin(tuple(members), int(network.counts[edges].sum()), escapes))
    return chosen


def _linkage(exchange: Indices) -> list[tuple[list[int], int]]:
    """All groups of single linkage with two sites or more, each with the link that completed it."""
    first, second = np.nonzero(np.triu(exchange))
    order = np.argsort(-exchange[first, second], kind="stable")
    group = {site: [site] for site in range(len(exchange))}
    found = []
    for i, j in zip(first[order].tolist(), second[order].tolist(), strict=True):
        if group[i] is group[j]:
            continue
        joined = sorted(group[i] + group[j])
        for site in joined:
            group[site] = joined
        found.append((joined, int(exchange[i, j])))
    return found


def graph_order_parameter(weights: Array, *, exponent: int = 1) -> float:
    """Compute the graph order parameter of a weighted network; lower is better connected.

    θ = Σ_subgraphs (Σ_m [P(d_m) ln P(d_m) + d_m P(d_m)])^k over the distinct degrees d_m of each connected
    subgraph, P being the share of its nodes with that degree; a degree is the sum of a node's edge weights,
    divided by the largest in the network (Chapman, Goldman and Wood, npj Comput. Mater. 2022). With k = 1 one
    subgraph of n nodes cannot fall below −ln n; values of −100 and −250 as published for amorphous garnet
    electrolytes (Grieder 2024) need k = 3.

    Parameters
    ----------
    weights : ndarray, shape (n_sites, n_sites)
        Jump counts or probabilities; both directions are added.
    exponent : int
        k, odd, so that the sign is kept.

    Returns
    -------
    float
        θ; 0 without any edge.

    Raises
    ------
    InputError
        If the matrix is not square, holds negative weights, or the exponent is not odd and positive.
    """
    weights = np.asarray(weights, dtype=float)
    if weights.ndim != 2 or weights.shape[0] != weights.shape[1] or (weights < 0).any():
        raise InputError(
            f"weights must be a square matrix without negative values, got shape {weights.shape}"
        )
    if exponent < 1 or exponent % 2 == 0:
        raise InputError(f"exponent must be an odd positive integer, got {exponent}")
    both = weights + weights.T
    np.fill_diagonal(both, 0.0)
    degrees = both.sum(axis=1)
    if not degrees.any():
        return 0.0
    # Rounded, so that equal degrees summed in another order stay equal.
    degrees = np.round(degrees / degrees.max(), 12)
    count, label = connected_components(coo_array(both), directed=False)
    total = 0.0
    for part in range(count):
        values, nodes = np.unique(degrees[label == part], return_counts=True)
        share = nodes / nodes.sum()
        total += float(np.sum(share * np.log(share) + values * share)) ** exponent
    return total
