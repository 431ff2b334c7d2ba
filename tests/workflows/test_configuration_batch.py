"""A batch of configurations goes on in the middle, and a failure costs only itself."""

import json

import pytest
from pymatgen.core import Lattice, Structure

from sse_screen.documents.relaxation import RelaxationProtocol
from sse_screen.dynamics.relaxation import relax_structure
from sse_screen.exceptions import InputError, SseScreenError
from sse_screen.potentials import load_calculator, resolve_potential
from sse_screen.structures.orderings import OrderingSpace, ordered_structure
from sse_screen.structures.prototypes import build_prototype
from sse_screen.workflows import configurations
from sse_screen.workflows.campaign import Campaign
from sse_screen.workflows.configuration_results import CONFIGURATION_RESULTS
from sse_screen.workflows.configurations import ConfigurationBatchMaker, relax_each
from sse_screen.workflows.packing import pack_orderings, unpack_orderings, where_ions_are
from sse_screen.workflows.planning import plan_campaign
from sse_screen.workflows.runtime import worker


@pytest.fixture(autouse=True)
def results(database, settings_environment):
    """The collection of results, empty; this process is a worker of the test's settings."""
    worker.cache_clear()
    yield database[CONFIGURATION_RESULTS]
    worker.cache_clear()


@pytest.fixture
def maker():
    protocol = RelaxationProtocol(relax_cell=False, maximum_force_eV_per_A=0.08, maximum_steps=20)
    return ConfigurationBatchMaker(resolve_potential("chgnet"), protocol)


@pytest.fixture
def structures():
    made = {}
    for name, (first, second) in {"a": ("Cl", "Br"), "b": ("Br", "Cl"), "c": ("Cl", "Cl")}.items():
        sites = [[0.02, 0, 0], [0, 0, 0.5], [0.5, 0.5, 0.27], [0.5, 0.5, 0.75]]
        lattice = Lattice.tetragonal(4.0, 8.0)
        made[name] = Structure(lattice, ["Cs", "Cs", first, second], sites)
    return made


def test_each_result_is_that_of_a_relaxation_alone(maker, structures, tmp_path):
    done = relax_each(structures, maker, tmp_path)
    calculator = load_calculator("chgnet", device="cpu")
    for name, structure in structures.items():
        alone = relax_structure(structure.to_ase_atoms(msonable=False), calculator, maker.protocol)
        assert done[name]["result"]["energy_eV_per_cell"] == pytest.approx(alone.energy_eV, abs=1e-4)
        assert done[name]["result"]["converged"]
        assert 0 < done[name]["potential_time_s"] < done[name]["result"]["total_time_s"]


@pytest.fixture
def computed(monkeypatch):
    """How many structures each evaluation took."""
    numbers = []
    original = configurations.relax_together
    monkeypatch.setattr(
        configurations,
        "relax_together",
        lambda atoms, *a, **k: numbers.append(len(atoms)) or original(atoms, *a, **k),
    )
    return numbers


def test_another_batch_takes_over_what_is_there(maker, structures, tmp_path, results, computed):
    first = {name: structures[name] for name in "ab"}
    (tmp_path / "1").mkdir(), (tmp_path / "2").mkdir()
    one = relax_each(first, maker, tmp_path / "1")
    assert (len(one.reused), len(one.computed())) == (0, 2)
    two = relax_each({f"other {name}": structures[name] for name in "abc"}, maker, tmp_path / "2")
    assert computed == [2, 1]
    assert (len(two.reused), len(two.computed())) == (2, 1)
    assert two["other a"]["result"] == one["a"]["result"]
    assert Structure.from_dict(two["other a"]["structure"]) == Structure.from_dict(one["a"]["structure"])
    assert results.count_documents({}) == 3


def test_atoms_in_another_order_are_another_result(maker, structures, tmp_path, results, computed):
    swapped = structures["a"].copy()
    swapped = Structure.from_sites(list(swapped)[::-1])
    done = relax_each({"a": structures["a"], "swapped": swapped}, maker, tmp_path)
    assert computed == [2]
    species = [site["label"] for site in done["swapped"]["structure"]["sites"]]
    assert species == [site.label for site in swapped]


def test_what_the_database_missed_is_stored_by_the_next_attempt(maker, structures, tmp_path, results):
    relax_each(structures, maker, tmp_path)
    results.delete_many({})
    relax_each(structures, maker, tmp_path)
    assert results.count_documents({}) == 3


def test_a_cut_journal_costs_the_cut_line_only(maker, structures, tmp_path, results, computed):
    first = relax_each(structures, maker, tmp_path)
    results.delete_many({})
    journal = tmp_path / "configurations.jsonl"
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join([*lines[:-1], lines[-1][: len(lines[-1]) // 2]]))
    second = relax_each(structures, maker, tmp_path)
    assert computed == [3, 1]
    assert [second[name]["result"]["converged"] for name in "abc"] == [True] * 3
    for name in structures:
        energies = [done[name]["result"]["energy_eV_per_cell"] for done in (first, second)]
        assert energies[0] == pytest.approx(energies[1], abs=1e-5)


def test_a_failure_is_raised_after_the_others_are_in_the_journal(maker, structures, tmp_path):
    lattice = Lattice.tetragonal(4.0, 8.0)
    structures["b"] = Structure(
        lattice, ["Cs", "Cs", "Cl", "Cl"], [[0, 0, 0], [0, 0, 0], [0.5] * 3, [0.5, 0.5, 0]]
    )
    with pytest.raises(SseScreenError, match="in one place"):
        relax_each(structures, maker, tmp_path)
    kept = [line for line in (tmp_path / "configurations.jsonl").read_text().splitlines() if line]
    assert len({json.loads(line)["key"] for line in kept}) == 2


def test_relaxed_ions_are_put_back_on_sites():
    crystal = build_prototype("llzo-cubic-disordered")
    space = OrderingSpace(crystal, {"24d": 13, "96h": 43}, 2.0)
    first, second, third = list(space.enumerate())[:3]
    packed = pack_orderings(crystal, {o.id: o.sites for o in (first, second)}, {"24d": 13, "96h": 43}, 2.0)
    relaxed = {
        first.id: ordered_structure(crystal, first.sites).perturb(0.1),
        second.id: ordered_structure(crystal, third.sites),
    }
    found = where_ions_are(packed, relaxed)
    assert found[first.id] == {
        "n_moved_ions": 0,
        "reached_id": first.id,
        "reached_degeneracy": first.degeneracy,
    }
    assert found[second.id]["n_moved_ions"] > 0
    assert found[second.id]["reached_id"] == third.id
    assert found[second.id]["reached_degeneracy"] == third.degeneracy


def test_an_ordered_crystal_has_no_sites_to_choose(maker, structures, tmp_path):
    packed = pack_orderings(structures["a"], {"a": {}})
    assert where_ions_are(packed, {"a": structures["a"]})["a"]["n_moved_ions"] is None


def test_an_ordered_phase_stands_beside_the_disordered_one(tmp_path):
    def planned(**section):
        campaign = Campaign.model_validate({"name": "t", "orderings": [section]})
        return plan_campaign(campaign).orderings[0]

    plan = planned(prototype="llzo-tetragonal", ordered_reference=True, temperatures_K=[300])
    ((packed, weights),) = plan.batches
    ((name, crystal),) = unpack_orderings(packed).items()
    assert weights == {name: (1, 1.0)}
    assert len(crystal) == 192
    assert (plan.parent["n_unique_total"], plan.parent["sampled"]) == (1, False)
    with pytest.raises(InputError, match="true takes it as an ordered phase"):
        planned(prototype="llzo-tetragonal")
    with pytest.raises(InputError, match="disordered or given an occupancy"):
        planned(prototype="llzo-cubic-disordered", ordered_reference=True)
