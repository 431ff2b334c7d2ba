"""atomate2's phonon flow with our potential, for real, against phonopy's own thermal functions."""

import numpy as np
import pytest
from jobflow import JobStore, run_locally
from maggma.stores import MemoryStore
from pymatgen.core import Lattice, Structure

from sse_screen.exceptions import InputError
from sse_screen.potentials import resolve_potential
from sse_screen.workflows.phonons import PhononFreeEnergyMaker
from sse_screen.workflows.runtime import worker

pytest.importorskip("phonopy")


@pytest.mark.usefixtures("database", "settings_environment")  # where own potentials would be
def test_free_energy_of_copper(tmp_path, monkeypatch):
    worker.cache_clear()
    monkeypatch.chdir(tmp_path)
    copper = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(3.58), ["Cu"], [[0, 0, 0]]
    ).get_primitive_structure()
    maker = PhononFreeEnergyMaker(resolve_potential("chgnet"), (300.0, 490.0), minimum_length_A=7.0)
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    responses = run_locally(maker.make(copper), store=store, create_folders=True, ensure_success=True)
    outputs = [r.output for by_index in responses.values() for r in by_index.values()]
    (found,) = [o for o in outputs if type(o).__name__ == "PhononFreeEnergyOutput"]
    (phonons,) = [o for o in outputs if type(o).__name__ == "PhononBSDOSDoc"]
    for temperature_K, free_energy, entropy in zip(
        found.temperatures_K,
        found.free_energies_eV_per_atom,
        found.entropies_meV_per_K_per_atom,
        strict=True,
    ):
        number = phonons.temperatures.index(temperature_K)
        theirs = phonons.free_energies[number] / 96485.33212  # J/mol
        assert free_energy - found.relaxed_energy_eV_per_atom == pytest.approx(theirs, abs=1e-3)
        assert entropy == pytest.approx(phonons.entropies[number] / 96.48533212, abs=5e-3)
    assert found.imaginary_share < 0.005
    assert found.heat_capacities_meV_per_K_per_atom[1] == pytest.approx(
        3 * 0.0861733, rel=0.03
    )  # Dulong, Petit
    assert np.all(np.diff(found.free_energies_eV_per_atom) < 0)


def test_a_disordered_crystal_is_refused():
    mixed = Structure(Lattice.cubic(4.0), [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]])
    with pytest.raises(InputError, match="ordered crystal"):
        PhononFreeEnergyMaker(resolve_potential("chgnet"), (300.0,)).make(mixed)
