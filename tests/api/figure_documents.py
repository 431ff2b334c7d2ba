"""Documents of every collection that has figures, from synthetic trajectories and energies."""

from functools import lru_cache

import numpy as np
from pymatgen.core import Lattice, Structure

from sse_screen.documents.activation_energy import ActivationEnergyDoc
from sse_screen.documents.base import BlobReference, PotentialIdentity, Quantity
from sse_screen.documents.candidate import CandidateDoc
from sse_screen.documents.configuration import ConfigurationDoc
from sse_screen.documents.configurational_free_energy import ConfigurationalFreeEnergyDoc
from sse_screen.documents.configurational_free_energy_parts import ConfigurationEnergy
from sse_screen.documents.convex_hull import ConvexHullDoc
from sse_screen.documents.diffusivity import DiffusivityDoc
from sse_screen.documents.jump_barrier import JumpBarrierDoc
from sse_screen.documents.learning_curve import LearningCurveDoc
from sse_screen.documents.molecular_dynamics import MolecularDynamicsOutput, MolecularDynamicsProtocol
from sse_screen.documents.potential import PotentialDoc
from sse_screen.documents.self_consistent import LoopDiffusivity, LoopState, LoopStep
from sse_screen.documents.self_consistent_loop import SelfConsistentLoopDoc
from sse_screen.documents.site_network import SiteNetworkDoc
from sse_screen.documents.site_network_parts import JumpRateSummary, rate_quantity
from sse_screen.documents.structure_function import StructureFunctionDoc
from sse_screen.documents.survey import SurveyCrystal
from sse_screen.documents.training import (
    EpochRecord,
    ErrorStatistics,
    ParityPoints,
    SetMetrics,
    SplitProtocol,
    TrainingOutput,
    TrainingProtocol,
)
from sse_screen.documents.vibrational_free_energy import VibrationalFreeEnergyDoc
from sse_screen.dynamics.trajectory import Trajectory
from sse_screen.thermodynamics.composition_space import HullEntry
from sse_screen.thermodynamics.vibrations import from_density
from sse_screen.training.labelled import LevelOfTheory
from sse_screen.transport.jump_statistics import rate_estimate

POTENTIAL = PotentialIdentity(name="chgnet", code="chgnet", code_version="0.4.2", weights_sha256="a" * 64)
AXES = np.concatenate([np.eye(3), -np.eye(3)])
STEP_PS, N_FRAMES = 0.02, 300


def crystal() -> Structure:
    """2 × 3 × 3 cells of the CsCl structure, stretched along c."""
    cell = Structure.from_spacegroup("P4/mmm", Lattice.tetragonal(3, 4), ["Li", "S"], [[0, 0, 0], [0.5] * 3])
    return cell * (2, 3, 3)


def walk(rate_per_ps=4.0, n_frames=N_FRAMES, velocities=True) -> Trajectory:
    """Lithium hopping to neighbouring sites, eight times less along c, and vibrating sulphur."""
    rng = np.random.default_rng(5)
    structure = crystal()
    lithium = np.array([site.coords for site in structure if site.specie.symbol == "Li"])
    sulphur = np.array([site.coords for site in structure if site.specie.symbol == "S"])
    n = len(lithium)
    which = rng.choice(6, (n_frames, n), p=np.array([8, 8, 1, 8, 8, 1]) / 34)
    steps = AXES[which] * (rng.random((n_frames, n, 1)) < rate_per_ps * STEP_PS)
    steps[0] = 0
    moved = lithium + np.cumsum(steps, axis=0) * [3, 3, 4] + rng.normal(0, 0.15, (n_frames, n, 3))
    times = np.arange(n_frames) * STEP_PS
    phases = 2 * np.pi * (rng.uniform(4, 12, (2 * n, 3)) * times[:, None, None] + rng.random((2 * n, 3)))
    return Trajectory(
        positions=np.concatenate([moved, sulphur + rng.normal(0, 0.1, (n_frames, n, 3))], axis=1),
        cells=np.array(structure.lattice.matrix),
        species=("Li",) * n + ("S",) * n,
        times_ps=times,
        unwrapped=True,
        velocities=0.01 * np.cos(phases) if velocities else None,
    )


def output(**changes) -> MolecularDynamicsOutput:
    """A run of the walk."""
    fields = {
        "calculation_key": "k",
        "material_id": "m",
        "material_name": "lattice",
        "formula": "LiS",
        "chemical_system": "Li-S",
        "elements": ["Li", "S"],
        "n_atoms": 36,
        "structure": crystal().as_dict(),
        "mobile_ion": "Li",
        "charge_number": 1,
        "potential": POTENTIAL,
        "protocol": MolecularDynamicsProtocol(equilibration_ps=0.0, production_ps=6.0),
        "temperature_K": 700.0,
        "seed": 1,
        "trajectory": BlobReference(sha256="a" * 64, size_bytes=1),
        "mean_temperature_K": 702.0,
        "mean_volume_A3": 648.0,
        "n_steps": 1,
        "potential_time_s": 1.0,
        "total_time_s": 1.0,
    }
    return MolecularDynamicsOutput.model_validate(fields | changes)


@lru_cache
def diffusivity() -> DiffusivityDoc:
    return DiffusivityDoc.from_trajectories([output()], [walk()])


def activation_energy() -> ActivationEnergyDoc:
    """Three temperatures with numbers and one with a limit."""
    points = []
    for kelvin, value in ((500.0, None), (600.0, 1e-6), (800.0, 5e-6), (1000.0, 1.3e-5)):
        limits = (None, 0.0, 4e-7) if value is None else (value, 0.8 * value, 1.25 * value)
        verdict = "upper_limit" if value is None else "diffusive"
        quantity = Quantity(value=limits[0], lower=limits[1], upper=limits[2], unit="cm2/s", verdict=verdict)
        update = {"temperature_K": kelvin, "tracer_diffusivity": quantity, "verdict": verdict}
        points.append(diffusivity().model_copy(update=update))
    return ActivationEnergyDoc.from_diffusivities(points)


def hull(n_components=3) -> ConvexHullDoc:
    """Li-P-S, or a part of it."""
    entries = [
        HullEntry("Li2", -1.90, "li"),
        HullEntry("S32", -4.13, "s"),
        HullEntry("Li8S4", -4.00, "li2s"),
        HullEntry("Li2S2", -3.90, "lis"),
        HullEntry("P4", -5.40, "p"),
        HullEntry("P8S20", -4.55, "p2s5"),
        HullEntry("Li12P4S16", -4.45, "beta"),
        HullEntry("Li6P2S8", -4.46, "gamma"),
        HullEntry("Cl2", -1.8, "cl"),
    ]
    chosen = {2: entries[:4], 3: entries[:8], 4: entries}[n_components]
    return ConvexHullDoc.from_entries(chosen, potential=POTENTIAL)


def configurations() -> list[ConfigurationDoc]:
    """Thirty relaxed orderings, of which some left their sites."""
    rng = np.random.default_rng(4)
    found = []
    for number, energy in enumerate(rng.normal(-220.0, 0.15, 30)):
        name = f"c{number}"
        group = {"configuration_id": name, "level_of_theory": "springs"}
        found.append(
            ConfigurationDoc(
                id=ConfigurationDoc.id_of(group),
                **group,
                parent="p" * 64,
                parent_name="argyrodite",
                occupancy_class="4a=2,4d=2",
                formula="Li6PS5Cl",
                chemical_system="Cl-Li-P-S",
                elements=["Cl", "Li", "P", "S"],
                n_atoms=52,
                potential=POTENTIAL,
                degeneracy=2,
                energy_eV_per_cell=energy,
                energy_eV_per_atom=energy / 52,
                maximum_force_eV_per_A=0.05,
                converged=True,
                n_moved_ions=min(number, 2),
                reached_id=(name, None, "c0")[min(number, 2)],
                structures=BlobReference(sha256="a" * 64, size_bytes=1),
            )
        )
    return found


def free_energies(parent="p" * 64, spectrum=True) -> list[ConfigurationalFreeEnergyDoc]:
    """A sample of forty of a hundred orderings at four temperatures."""
    rng = np.random.default_rng(3)
    orderings = [
        ConfigurationEnergy(configuration_id=f"c{i}", energy_eV_per_cell=float(energy), degeneracy=2.0)
        for i, energy in enumerate(rng.normal(-220.0, 0.15, 40))
    ]
    return [
        ConfigurationalFreeEnergyDoc.from_configurations(
            orderings,
            parent=parent,
            occupancy_class="4a=2,4d=2",
            cell_formula="Li24P4S20Cl4",
            temperature_K=kelvin,
            potential=POTENTIAL,
            total_orderings=200.0,
            densities=((f"c{i}", discrete(8.0 + 0.1 * i)) for i in range(40)) if spectrum else None,
        )
        for kelvin in (900.0, 300.0, 600.0, 1200.0)
    ]


def discrete(frequency_THz):
    """Modes about a frequency, on the grid of stored spectra."""
    grid = np.linspace(0.0, 30.0, 301)
    return from_density(grid, {"Li": np.exp(-((grid - frequency_THz) ** 2))})


@lru_cache
def site_network(store=None) -> SiteNetworkDoc:
    return SiteNetworkDoc.from_trajectories([output()], [walk()], store=store)


def jump_barrier() -> JumpBarrierDoc:
    """Rates of two kinds of jumps at three temperatures, one without a jump of the rarer kind."""
    first = site_network()
    networks = []
    for kelvin, counts in ((500.0, (20, 0)), (700.0, (90, 7)), (900.0, (200, 40))):
        kinds = zip((("1a", "1a"), ("1a", "i-1b")), counts, strict=True)
        rates = [
            JumpRateSummary(
                origin=origin,
                destination=destination,
                count=count,
                exposure_ps=100.0,
                rate=rate_quantity(rate_estimate(count, 100.0), 0.95),
                mean_length_A=3.0 if count else None,
            )
            for (origin, destination), count in kinds
        ]
        networks.append(first.model_copy(update={"temperature_K": kelvin, "rates": rates}))
    return JumpBarrierDoc.from_networks(networks)


def refused_network() -> SiteNetworkDoc:
    return SiteNetworkDoc.from_trajectories([output()], [walk(n_frames=5)])


@lru_cache
def structure_function(velocities=True) -> StructureFunctionDoc:
    parameters = {"maximum_radius_A": 6.0, "maximum_frames": 50}
    return StructureFunctionDoc.from_trajectories([output()], [walk(velocities=velocities)], **parameters)


def vibrational_free_energy() -> VibrationalFreeEnergyDoc:
    return VibrationalFreeEnergyDoc.from_trajectory(
        walk(0.0),
        configuration_id="c0",
        relaxed_energy_eV=-50.0,
        target_temperature_K=600.0,
        level_of_theory="springs",
    )


def candidates() -> list[CandidateDoc]:
    """Three with a conductivity at 300 K, one of them without a hull; one without anything."""
    documents = []
    for name, value, hull in (("a", 1e-2, 0.03), ("b", 1e-4, 0.0), ("c", 1e-3, None), ("d", None, None)):
        found = CandidateDoc.from_decisions(
            SurveyCrystal(name=name, formula="Li2S", energy_above_hull_eV_per_atom=hull),
            [],
            survey="survey",
            mobile_ion="Li",
            charge_number=1,
            potential=POTENTIAL,
        )
        ends = (None, None, None) if value is None else (value, value / 3, value * 3)
        verdict = "refused" if value is None else "ok"
        quantity = Quantity(value=ends[0], lower=ends[1], upper=ends[2], unit="S/cm", verdict=verdict)
        documents.append(found.model_copy(update={"conductivity_300K": quantity}))
    return documents


def training_output(**changes) -> TrainingOutput:
    """A training whose numbers are drawn."""
    rng = np.random.default_rng(4)
    energies, forces, stresses = rng.normal(-4, 0.1, 6), rng.normal(size=144), rng.normal(size=54)

    def errors(unit, size):
        return ErrorStatistics(
            mean_absolute_error=0.01, root_mean_square_error=0.02, r_squared=0.9, n_values=size, unit=unit
        )

    on_set = SetMetrics(
        n_structures=6,
        formulas=["LiCl"],
        energy=errors("eV/atom", 6),
        forces=errors("eV/angstrom", 144),
        stress=errors("GPa", 54),
    )
    parity = ParityPoints(
        energy_label_eV_per_atom=energies.tolist(),
        energy_predicted_eV_per_atom=(energies + 0.01).tolist(),
        force_label_eV_per_A=forces.tolist(),
        force_predicted_eV_per_A=(forces * 0.9).tolist(),
        stress_label_GPa=stresses.tolist(),
        stress_predicted_GPa=(stresses + 0.1).tolist(),
    )
    history = [
        EpochRecord(
            epoch=epoch,
            learning_rate=1e-3,
            training_loss=1 / epoch,
            validation_loss=1.2 / epoch,
            energy_error_eV_per_atom=0.01,
            force_error_eV_per_A=0.05,
        )
        for epoch in range(1, 9)
    ]
    blob = BlobReference(sha256="d" * 64, size_bytes=1)
    fields = {
        "calculation_key": "t",
        "name": "licl",
        "method": "fine-tuning",
        "weights": blob,
        "potential": POTENTIAL.model_copy(update={"name": "licl", "weights_sha256": blob.sha256}),
        "parent": POTENTIAL,
        "elements": ["Cl", "Li"],
        "chemical_system": "Cl-Li",
        "formulas": ["LiCl"],
        "level_of_theory": "gpaw PBE",
        "level_of_theory_id": "0" * 16,
        "dataset_sha256": "e" * 64,
        "validation_sha256": "c" * 64,
        "test_sha256": "f" * 64,
        "labels": [blob],
        "split": SplitProtocol(),
        "n_training": 24,
        "n_validation": 3,
        "n_test": 6,
        "protocol": TrainingProtocol(),
        "seed": 1,
        "reference_shift_eV": {"Cl": 0.1, "Li": 0.2},
        "best_epoch": 8,
        "n_epochs": 8,
        "stopped_early": False,
        "history": history,
        "training": on_set,
        "validation": on_set,
        "test": on_set,
        "unseen_composition": None,
        "parent_test": on_set,
        "parity": parity,
        "total_time_s": 1.0,
    }
    return TrainingOutput(**{**fields, **changes})


def potential() -> PotentialDoc:
    return PotentialDoc.from_sources(training_output())


def learning_curve() -> LearningCurveDoc:
    """Errors that fall as n^(-1/2), with one seed at each of four sizes."""
    trainings = []
    for n in (6, 12, 18, 24):
        base = training_output()
        errors = base.test.model_dump()
        for quantity in ("energy", "forces", "stress"):
            errors[quantity]["root_mean_square_error"] = 0.1 * n**-0.5
        trainings.append(base.model_copy(update={"n_training": n, "test": SetMetrics(**errors)}))
    return LearningCurveDoc.from_trainings(trainings)


def loop_state(n_loops=2, **changes) -> LoopState:
    """A loop of two temperatures whose students have half, then all of their teacher's diffusivity."""
    of_run = {"potential_sha256": "a" * 64}
    steps = [LoopStep(loop=0, n_new_labels=12)]
    found, truths = [], [_measured(1, kelvin, kelvin * 1e-8) for kelvin in (800.0, 1000.0)]
    for loop in range(1, n_loops + 1):
        for kelvin in (800.0, 1000.0):
            error = 0.2 / (len(steps) + 1)
            broke = "two ions came within 0.50 Å" if len(steps) == 1 else None
            steps.append(
                LoopStep(
                    loop=loop,
                    temperature_K=kelvin,
                    n_new_labels=10,
                    force_error_eV_per_A=error,
                    broke=broke,
                    **of_run,
                )
            )
            found.append(_measured(loop, kelvin, kelvin * 1e-8 * loop / n_loops))
    content = {
        "loop_id": "1" * 24,
        "name": "toy-loop",
        "potential_name": "toy",
        "structure": crystal().as_dict(),
        "material": {
            "material_id": "2" * 64,
            "material_name": "toy-loop",
            "mobile_ion": "Li",
            "charge_number": 1,
        },
        "seed": 1,
        "level_of_theory": LevelOfTheory(
            code="lammps", functional="potential", settings={"weights_sha256": "3" * 64}
        ),
        "n_labels": sum(step.n_new_labels for step in steps),
        "loop": n_loops,
        "history": steps,
        "diffusivities": found,
        "teacher_diffusivities": truths,
        "teacher_verdict": "agrees",
        "verdict": "stationary",
    }
    return LoopState.model_validate(content | changes).with_key()


def _measured(loop, kelvin, value) -> LoopDiffusivity:
    quantity = Quantity(value=value, lower=value / 1.2, upper=value * 1.2, unit="cm^2/s", verdict="diffusive")
    return LoopDiffusivity(loop=loop, temperature_K=kelvin, diffusivity=quantity, potential_sha256="a" * 64)


def self_consistent_loop() -> SelfConsistentLoopDoc:
    return SelfConsistentLoopDoc.from_state(loop_state())
