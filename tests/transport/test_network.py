"""Percolation, superbasins and the graph order parameter of small networks, by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sse_screen.exceptions import InputError
from sse_screen.transport.jumps import Jumps, default_radii, find_visits, jumps_between
from sse_screen.transport.network import (
    JumpNetwork,
    components,
    graph_order_parameter,
    jump_network,
    network_components,
    percolation_thresholds,
    superbasins,
)
from sse_screen.transport.sites import SiteSet

Edge = tuple[int, int, tuple[int, int, int], int]


def network(n_sites: int, edges: list[Edge]) -> JumpNetwork:
    counts = np.array([edge[3] for edge in edges])
    return JumpNetwork(
        n_sites,
        np.array([edge[0] for edge in edges]),
        np.array([edge[1] for edge in edges]),
        np.array([edge[2] for edge in edges]).reshape(-1, 3),
        (counts + 1) // 2,
        counts // 2,
    )


def test_chain_through_the_boundary_percolates_along_a_alone() -> None:
    chain = network(3, [(0, 1, (0, 0, 0), 4), (1, 2, (0, 0, 0), 2), (2, 0, (1, 0, 0), 8)])
    (part,) = network_components(chain)
    assert part.windings.tolist() == [[1, 0, 0]]
    assert part.axes == (True, False, False)
    assert percolation_thresholds(chain, chain.counts.astype(float)) == {1: 2.0}


def test_ring_without_winding_is_a_cage() -> None:
    ring = network(4, [(0, 1, (0, 0, 0), 1), (1, 2, (1, 0, 0), 1), (2, 0, (-1, 0, 0), 1)])
    parts = network_components(ring)
    assert [part.dimension for part in parts] == [0, 0]
    assert parts[0].sites == (0, 1, 2)
    assert parts[1].sites == (3,)
    assert percolation_thresholds(ring, np.ones(3)) == {}


def test_diagonal_path_has_its_direction_and_no_single_axis() -> None:
    diagonal = network(1, [(0, 0, (1, 1, 0), 5)])
    (part,) = network_components(diagonal)
    assert part.windings.tolist() == [[1, 1, 0]]
    assert part.axes == (False, False, False)
    plane = network(1, [(0, 0, (1, 1, 0), 5), (0, 0, (1, -1, 0), 5)])
    assert network_components(plane)[0].axes == (True, True, False)


def test_dimensions_come_in_one_by_one() -> None:
    net = network(1, [(0, 0, (1, 0, 0), 9), (0, 0, (0, 1, 0), 5), (0, 0, (0, 0, 1), 2)])
    assert percolation_thresholds(net, net.counts.astype(float)) == {1: 9.0, 2: 5.0, 3: 2.0}


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 100_000))
def test_windings_do_not_depend_on_numbering_or_origin_cells(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, m = 6, int(rng.integers(1, 12))
    origin, destination = rng.integers(0, n, m), rng.integers(0, n, m)
    image = rng.integers(-1, 2, (m, 3))
    parts = components(n, origin, destination, image)
    order, cell = rng.permutation(n), rng.integers(-2, 3, (n, 3))
    moved = image + cell[destination] - cell[origin]
    again = components(n, order[origin], order[destination], moved)
    key = sorted((part.dimension, len(part.sites), *part.axes) for part in parts)
    assert key == sorted((part.dimension, len(part.sites), *part.axes) for part in again)
    for part in parts:
        assert np.linalg.matrix_rank(part.windings) == part.dimension if part.dimension else True


def test_jumps_collect_into_undirected_edges() -> None:
    ends = [(0, 1, 0), (1, 0, 0), (0, 1, 0), (1, 0, 1), (0, 1, -1), (0, 0, 1), (0, 0, -1)]
    jumps = Jumps(
        ion=np.zeros(7, dtype=int),
        origin=np.array([e[0] for e in ends]),
        destination=np.array([e[1] for e in ends]),
        image=np.array([[e[2], 0, 0] for e in ends]),
        frame=np.arange(7),
        transit=np.zeros(7, dtype=int),
        vectors_A=np.zeros((7, 3)),
        last_frame=np.full(7, 10),
        n_ions=1,
    )
    net = jump_network(jumps, 2)
    edges = {
        (i, j, n[0]): (f, b)
        for i, j, n, f, b in zip(
            net.origin.tolist(), net.destination.tolist(), net.image.tolist(),
            net.forward.tolist(), net.backward.tolist(), strict=True,
        )
    }  # fmt: skip
    assert edges == {(0, 1, 0): (2, 1), (0, 1, -1): (1, 1), (0, 0, -1): (1, 1)}
    assert net.counts.sum() == 7


def test_walk_on_a_cubic_lattice_percolates_in_three_dimensions() -> None:
    rng = np.random.default_rng(0)
    axes = np.concatenate([np.eye(3), -np.eye(3)])
    steps = axes[rng.integers(0, 6, (400, 20))] * (rng.random((400, 20, 1)) < 0.3)
    points = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), -1).reshape(-1, 3) / 3
    sites = SiteSet(points, np.eye(3) * 9, ("1a",) * 27)
    visits, _ = find_visits(np.cumsum(steps, axis=0) / 3, sites, default_radii(sites))
    net = jump_network(jumps_between(visits, sites), 27)
    assert len(net.origin) == 81
    assert network_components(net)[0].axes == (True, True, True)
    assert superbasins(net) == []


def cages(between: int) -> JumpNetwork:
    """Two cages of three sites in a chain through the cell, left by rare jumps."""
    inside = [(0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3)]
    edges: list[Edge] = [(i, j, (0, 0, 0), 100) for i, j in inside]
    return network(6, [*edges, (2, 3, (0, 0, 0), between), (5, 0, (1, 0, 0), between)])


def test_cages_are_superbasins_when_left_rarely() -> None:
    found = superbasins(cages(10))
    assert [basin.sites for basin in found] == [(0, 1, 2), (3, 4, 5)]
    assert found[0].internal_jumps == 300
    assert found[0].escapes == 10
    assert superbasins(cages(10), minimum_ratio=11) == []
    assert superbasins(cages(50)) == []


def test_an_isolated_cage_is_a_superbasin_and_a_percolating_network_is_not() -> None:
    cage = network(3, [(0, 1, (0, 0, 0), 40), (1, 2, (0, 0, 0), 30)])
    assert [basin.sites for basin in superbasins(cage)] == [(0, 1, 2)]
    chain = network(2, [(0, 1, (0, 0, 0), 40), (1, 0, (1, 0, 0), 40)])
    assert superbasins(chain) == []


def test_graph_order_parameter_by_hand() -> None:
    pair = np.array([[0, 1.0], [0, 0]])
    # One degree, 1: P = 1, ln P = 0, d P = 1.
    assert graph_order_parameter(pair) == pytest.approx(1.0)
    # Path of three: ends have degree 1/2 (P = 2/3), the middle 1 (P = 1/3).
    path = np.zeros((3, 3))
    path[0, 1] = path[1, 2] = 1
    expected = 2 / 3 * np.log(2 / 3) + 1 / 3 + 1 / 3 * np.log(1 / 3) + 1 / 3
    assert graph_order_parameter(path) == pytest.approx(expected)
    # The same two subgraphs together with a lone site, which adds nothing.
    both = np.zeros((6, 6))
    both[:3, :3], both[3:5, 3:5] = path, pair
    # The pair's sites now have half the largest degree.
    assert graph_order_parameter(both) == pytest.approx(expected + 0.5)
    assert graph_order_parameter(both, exponent=3) == pytest.approx(expected**3 + 0.125)
    assert graph_order_parameter(np.zeros((4, 4))) == 0.0


def test_graph_order_parameter_falls_with_connected_variety() -> None:
    """All degrees different in one subgraph of n nodes: −ln n plus the mean degree; k = 3 reaches −100."""
    n = 400
    weights = np.zeros((n, n))
    for k in range(n - 1):
        weights[k, k + 1] = np.sqrt(2) * (k + 1) ** 1.01
    degrees = weights.sum(0) + weights.sum(1)
    expected = -np.log(n) + (degrees / degrees.max()).mean()
    assert graph_order_parameter(weights) == pytest.approx(expected)
    assert graph_order_parameter(weights, exponent=3) == pytest.approx(expected**3)
    assert expected**3 < -100
    assert graph_order_parameter(weights * 7.3) == pytest.approx(expected)
    assert graph_order_parameter(weights.T) == pytest.approx(expected)


def test_graph_order_parameter_refuses_what_is_no_network() -> None:
    with pytest.raises(InputError, match="square"):
        graph_order_parameter(np.zeros((2, 3)))
    with pytest.raises(InputError, match="negative"):
        graph_order_parameter(-np.eye(2))
    with pytest.raises(InputError, match="odd"):
        graph_order_parameter(np.eye(2), exponent=2)
