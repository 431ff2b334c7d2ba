"""Jump barriers of site networks whose counts are drawn from known rates."""

import numpy as np
import pytest
from ase.units import kB

from sse_screen.documents.base import PotentialIdentity, Quantity
from sse_screen.documents.diffusivity import DynamicsConditions
from sse_screen.documents.jump_barrier import JumpBarrierDoc, JumpBarriers
from sse_screen.documents.site_network import SiteNetwork, SiteNetworkDoc
from sse_screen.documents.site_network_parts import JumpRateSummary, SiteTypeSummary, rate_quantity
from sse_screen.exceptions import InputError
from sse_screen.transport.jump_statistics import rate_estimate

FREQUENCY_THz, EXPOSURE_PS = 10.0, 2000.0
BARRIERS = {("4a", "8c"): 0.30, ("8c", "4a"): 0.20, ("8c", "8c"): 0.40}
NOTHING = Quantity(unit="1", verdict="unresolved")


def site_type(name: str) -> SiteTypeSummary:
    return SiteTypeSummary(
        name=name,
        n_sites=8,
        occupancy=0.5,
        residence_time=Quantity(unit="ps"),
        median_residence_time_ps=None,
        n_complete_visits=0,
        n_truncated_visits=0,
        accessible_volume_A3=None,
        static_volume_A3=None,
    )


def rate(origin: str, destination: str, count: int, exposure_ps: float = EXPOSURE_PS) -> JumpRateSummary:
    return JumpRateSummary(
        origin=origin,
        destination=destination,
        count=count,
        exposure_ps=exposure_ps,
        rate=rate_quantity(rate_estimate(count, exposure_ps), 0.95),
        mean_length_A=2.5 if count else None,
    )


def drawn(temperature_K: float, seed: int = 0, **changes) -> SiteNetwork:
    """Counts of three kinds of jumps; no ion goes from 4a to 4a."""
    rng = np.random.default_rng([seed, int(temperature_K)])
    kinds = {
        pair: rng.poisson(EXPOSURE_PS * FREQUENCY_THz * np.exp(-barrier / (kB * temperature_K)))
        for pair, barrier in BARRIERS.items()
    }
    rates = [rate(*pair, int(count)) for pair, count in {("4a", "4a"): 0, **kinds}.items()]
    return network(temperature_K, rates, **changes)


def network(temperature_K: float, rates: list[JumpRateSummary], **changes) -> SiteNetwork:
    names = dict.fromkeys(rate.origin for rate in rates)
    fields = {
        "mobile_ion": "Li",
        "formula": "Li3N",
        "temperature_K": temperature_K,
        "n_ions": 8,
        "verdict": "ok",
        "n_sites": 16,
        "n_jumps": sum(rate.count for rate in rates),
        "n_replicas": 1,
        "total_time_ps": 100.0,
        "lattice_A": (np.eye(3) * 7.0).tolist(),
        "site_types": [site_type(name) for name in names],
        "rates": rates,
        "back_jump_fraction": NOTHING,
        "back_jump_time_ps": 2.0,
        "correlation_factor": NOTHING,
        "random_walk_diffusivity": NOTHING,
    }
    return SiteNetwork(**(fields | changes))


def refused(temperature_K: float) -> SiteNetwork:
    return network(temperature_K, [], verdict="refused", reasons=["the framework flows"], lattice_A=[])


def test_every_kind_has_its_own_barrier_and_the_interval_holds_it() -> None:
    held = []
    for seed in range(40):
        found = JumpBarriers.of([drawn(t, seed) for t in (900.0, 400.0, 600.0)])
        assert [point.temperature_K for point in found.points] == [400.0, 600.0, 900.0]
        for kind in found.kinds:
            held.append(kind.barrier.lower < BARRIERS[kind.origin, kind.destination] < kind.barrier.upper)
            assert kind.attempt_frequency.lower < kind.attempt_frequency.upper
        assert [kind.count for kind in found.kinds] == sorted((k.count for k in found.kinds), reverse=True)
    assert len(held) == 3 * 40
    assert np.mean(held) >= 0.9


def test_all_jumps_together_count_the_time_at_a_type_once() -> None:
    networks = [drawn(t) for t in (500.0, 700.0)]
    found = JumpBarriers.of(networks)
    assert found.n_jumps == sum(network.n_jumps for network in networks)
    hot, cold = (sum(r.count for r in n.rates) / (2 * EXPOSURE_PS) for n in reversed(networks))
    slope = np.log(hot / cold) / (1 / (kB * 500.0) - 1 / (kB * 700.0))
    assert found.barrier.value == pytest.approx(slope, abs=1e-6)
    assert found.scatter_p_value is None


def test_what_is_not_known_at_two_temperatures_is_refused_and_makes_no_infinity() -> None:
    interstitial = [rate("4a", "4a", 5), rate("4a", "i-2b", 9), rate("i-2b", "4a", 9)]
    found = JumpBarriers.of([network(500.0, [rate("4a", "4a", 1)]), network(900.0, interstitial)])
    kinds = {(kind.origin, kind.destination): kind for kind in found.kinds}
    assert kinds["4a", "4a"].barrier.verdict == "ok"
    assert kinds["4a", "i-2b"].barrier.verdict == "refused"
    assert "1 temperature(s) (900 K)" in kinds["4a", "i-2b"].barrier.reasons[0]
    nothing = JumpBarriers.of([network(t, [rate("4a", "4a", 0)]) for t in (500.0, 900.0)])
    assert (nothing.verdict, nothing.kinds) == ("refused", [])
    assert nothing.reasons == ["no jump was seen at any temperature"]
    melted = JumpBarriers.of([drawn(500.0), refused(900.0)])
    assert (melted.verdict, melted.n_temperatures) == ("refused", 1)
    assert melted.points[1].reasons == ["the framework flows"]
    assert JumpBarriers.of([refused(900.0)]).verdict == "refused"
    assert "Infinity" not in nothing.model_dump_json() + melted.model_dump_json()


def test_interstitial_sites_of_two_runs_are_not_matched_by_their_numbers() -> None:
    """One run has two of a Wyckoff position, the other the same two in the other order, and a third."""
    one = [rate("4a", "4a", 0), rate("4a", "i-8c.1", 30), rate("4a", "i-8c.2", 2)]
    one += [rate("i-8c.1", "4a", 31, 50.0), rate("i-8c.2", "4a", 1, 20.0), rate("i-8c.1", "i-8c.2", 4, 50.0)]
    other = [rate("4a", "i-8c.1", 9), rate("4a", "i-8c.2", 80), rate("i-8c.2", "4a", 70, 90.0)]
    other += [rate("i-8c.1", "4a", 9, 30.0), rate("i-8c.3", "4a", 8, 10.0)]
    found = JumpBarriers.of([network(500.0, one), network(700.0, other)])
    kinds = {(kind.origin, kind.destination): kind for kind in found.kinds}
    assert set(kinds) == {("4a", "i-8c"), ("i-8c", "4a"), ("i-8c", "i-8c")}
    assert [point.count for point in kinds["4a", "i-8c"].rates] == [32, 89]
    assert [point.exposure_ps for point in kinds["4a", "i-8c"].rates] == [EXPOSURE_PS, EXPOSURE_PS]
    assert [point.exposure_ps for point in kinds["i-8c", "4a"].rates] == [70.0, 130.0]
    assert kinds["i-8c", "4a"].rates[0].rate.value == pytest.approx(32 / 70)


def test_sites_that_do_not_describe_the_ions_are_left_out_and_said() -> None:
    reason = "ions are at a site only 23% of the time: the sites do not describe them"
    lost = drawn(900.0, verdict="unresolved", reasons=[reason])
    found = JumpBarriers.of([drawn(500.0), drawn(700.0), lost])
    assert (found.n_temperatures, found.verdict) == (2, "ok")
    assert f"900 K is left out: {reason}" in found.warnings
    assert JumpBarriers.of([drawn(500.0), lost]).verdict == "refused"


def test_rates_that_do_not_follow_a_line_have_no_value() -> None:
    rates = {400.0: 200, 600.0: 220, 800.0: 230, 1000.0: 9000}
    found = JumpBarriers.of([network(t, [rate("4a", "4a", count)]) for t, count in rates.items()])
    assert (found.verdict, found.barrier.value) == ("unresolved", None)
    assert found.scatter_p_value < 1e-6
    assert "scatter about one line" in found.reasons[0]
    assert found.barrier.lower < found.barrier.upper


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mobile_ion": "Na"}, "500 and 700 K are of different ions: Li and Na"),
        ({"formula": "Li2S"}, "different crystals: Li3N and Li2S"),
        ({"lattice_A": (np.eye(3) * 7.5).tolist()}, "different crystals: 42.9 and 52.7 Å³ a Li ion"),
        ({"site_types": [site_type("4a"), site_type("8d")]}, "different sites, 4a, 8c and 4a, 8d"),
    ],
)
def test_networks_of_different_systems_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        JumpBarriers.of([drawn(500.0), drawn(700.0, **changes)])


def test_copies_and_nothing_are_refused() -> None:
    with pytest.raises(InputError, match="a copy is no second run"):
        JumpBarriers.of([drawn(500.0), drawn(700.0), drawn(500.0)])
    with pytest.raises(InputError, match="there are none"):
        JumpBarriers.of([])
    # Two runs at one temperature are more counts there.
    assert JumpBarriers.of([drawn(500.0), drawn(500.0, 1), drawn(700.0)]).n_temperatures == 2


def stored(temperature_K: float, ensemble: str = "nvt", **changes) -> SiteNetworkDoc:
    potential = PotentialIdentity(name="toy", code="toy", code_version="1", weights_sha256="c" * 64)
    fields = {
        "id": f"n{temperature_K:g}",
        "material_id": "m",
        "material_name": "nitride",
        "chemical_system": "Li-N",
        "elements": ["Li", "N"],
        "potential": potential,
        "potential_sha256": "c" * 64,
        "protocol": DynamicsConditions(
            ensemble=ensemble,
            time_step_fs=2.0,
            frame_interval_fs=20.0,
            thermostat_time_fs=100.0,
            barostat_time_fs=None,
            pressure_bar=None,
            n_atoms=32,
        ),
        "protocol_id": "p",
        "mean_temperature_K": temperature_K - 25.0,
    }
    return SiteNetworkDoc(**(drawn(temperature_K).model_dump() | fields | changes))


def test_the_document_is_of_its_group_and_takes_the_measured_temperature_without_a_thermostat() -> None:
    document = JumpBarrierDoc.from_networks([stored(700.0), stored(500.0)])
    assert document.id == JumpBarrierDoc.id_of(document.model_dump())
    assert [point.site_network_id for point in document.points] == ["n500", "n700"]
    assert (document.lowest_temperature_K, document.highest_temperature_K) == (500.0, 700.0)
    free = JumpBarrierDoc.from_networks([stored(700.0, "nve"), stored(500.0, "nve")])
    assert [point.temperature_K for point in free.points] == [475.0, 675.0]
    with pytest.raises(InputError, match="site_network documents of one fit differ in protocol_id: p, q"):
        JumpBarrierDoc.from_networks([stored(700.0), stored(500.0, protocol_id="q")])
    with pytest.raises(InputError, match="there are none"):
        JumpBarrierDoc.from_networks([])
