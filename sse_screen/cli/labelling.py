"""`sse-screen dataset label`: label copies of a crystal, or frames of a trajectory, without a database."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sse_screen.exceptions import InputError

if TYPE_CHECKING:
    from ase import Atoms

    from sse_screen.documents.label import Label, UnlabelledStructure
    from sse_screen.documents.molecular_dynamics import MolecularDynamicsOutput
    from sse_screen.dynamics.trajectory import Trajectory
    from sse_screen.training.labelled import LabelledStructure, LevelOfTheory
    from sse_screen.training.sampling import SamplingProtocol

    LabelOne = Callable[[Atoms, UnlabelledStructure], Label]

_STORED = "outputs/"


def label(
    source: Annotated[
        str, typer.Argument(help="Crystal (file, prototype), trajectory file, or stored run (outputs/UUID).")
    ],
    output: Annotated[Path, typer.Option(help="Extended XYZ file; labels it has are not made again.")],
    seed: Annotated[int, typer.Option(help="Seed of the random numbers.")],
    code: Annotated[str, typer.Option(help="gpaw, or a potential as teacher (chgnet, a file).")] = "gpaw",
    functional: Annotated[str, typer.Option(help="Of GPAW: PBE, SCAN or r2SCAN.")] = "PBE",
    cutoff: Annotated[float, typer.Option("--cutoff-eV", help="Plane-wave cutoff of GPAW in eV.")] = 400.0,
    k_point_spacing: Annotated[
        float, typer.Option("--k-point-spacing", help="Of GPAW, in 1/Å with 2π; 0 for Γ only.")
    ] = 0.3,
    smearing: Annotated[
        float, typer.Option("--smearing-eV", help="Width of GPAW's occupations in eV.")
    ] = 0.05,
    frames: Annotated[int, typer.Option(help="Frames, or copies of a crystal.")] = 10,
    method: Annotated[
        str, typer.Option(help="random, equidistant or farthest_point frames of a trajectory.")
    ] = "random",
    skip: Annotated[float, typer.Option("--skip-ps", help="Start of a trajectory that is left out.")] = 0.0,
    time_step: Annotated[
        float | None, typer.Option("--time-step-ps", help="Between frames, where the file does not say.")
    ] = None,
    strain: Annotated[float, typer.Option(help="Random strain, components within plus and minus.")] = 0.03,
    rattle: Annotated[
        float, typer.Option("--rattle", help="Standard deviation of displacements in Å.")
    ] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Label strained and rattled copies of a crystal, or frames of a trajectory.

    Started again with the same seed, a stopped run goes on. For example:

    sse-screen dataset label licl --frames 30 --rattle 0.1 --seed 1 --output licl.extxyz

    sse-screen dataset label run.extxyz --code chgnet --frames 50 --seed 1 --output teacher.extxyz
    """
    protocol = _checked(
        "sse_screen.training.sampling:SamplingProtocol",
        method=method,
        frames=frames,
        skip_ps=skip,
        maximum_strain=strain,
        rattle_A=rattle,
    )
    if code == "gpaw":
        level, label_one = _by_gpaw(
            functional=functional,
            cutoff_eV=cutoff,
            k_point_spacing_per_A=k_point_spacing or None,
            smearing_eV=smearing,
        )
    else:
        level, label_one = _by_potential(code)
    structures, n_left_out = _structures(source, protocol, seed, time_step)
    made, reused, failures = _label_all(structures, level, label_one, output)
    if not made:
        raise InputError(f"{source}: no structure has a label: {'; '.join(failures[:3])}")
    _report(source, made, reused, failures, n_left_out, as_json)


def _checked(model: str, **values: Any) -> Any:
    """Make a model from options; a refused one is named."""
    import importlib

    from pydantic import ValidationError

    module, name = model.split(":")
    try:
        return getattr(importlib.import_module(module), name)(**values)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"{first['loc'][0]} = {first['input']!r}: {first['msg']}") from error


def _by_gpaw(**values: Any) -> tuple[LevelOfTheory, LabelOne]:
    from sse_screen.training.gpaw_labels import label_with_gpaw

    settings = _checked("sse_screen.training.gpaw_labels:GpawSettings", **values)

    def label_one(atoms: Atoms, one: UnlabelledStructure) -> Label:
        """Label one structure."""
        return label_with_gpaw(
            atoms, settings, parent_configuration=one.parent_configuration, source=one.source
        )

    return settings.level_of_theory, label_one


def _by_potential(name: str) -> tuple[LevelOfTheory, LabelOne]:
    from sse_screen.potentials import load_calculator, resolve_potential
    from sse_screen.training.labelling import label_with_calculator, potential_level

    teacher = resolve_potential(name)
    level = potential_level(teacher)
    calculator = load_calculator(name)

    def label_one(atoms: Atoms, one: UnlabelledStructure) -> Label:
        """Label one structure."""
        return label_with_calculator(
            atoms,
            calculator,
            level,
            parent_configuration=one.parent_configuration,
            source=one.source,
            code_version=teacher.code_version,
        )

    return level, label_one


def _structures(
    source: str, protocol: SamplingProtocol, seed: int, time_step_ps: float | None
) -> tuple[list[UnlabelledStructure], int]:
    import numpy as np

    from sse_screen.cli.orderings import _load
    from sse_screen.dynamics.readers.frames import ReaderError, ReadOptions
    from sse_screen.dynamics.readers.reading import guess_format, read_trajectory
    from sse_screen.potentials.loading import load_chgnet
    from sse_screen.potentials.registry import find_potential
    from sse_screen.training.sampling import sample_crystal, sample_trajectory

    rng, path = np.random.default_rng(seed), Path(source)
    farthest = protocol.method == "farthest_point"
    model = load_chgnet(find_potential("chgnet").path) if farthest else None
    if source.startswith(_STORED) and not path.is_file():
        run, trajectory, first = _stored_run(source.removeprefix(_STORED))
        return sample_trajectory(
            trajectory,
            protocol,
            rng,
            parent_configuration=run.material_id,
            run=f"run {run.calculation_key[:16]}",
            model=model,
            first_frame=first,
        )
    try:
        is_trajectory = path.is_file() and bool(guess_format(path))
    except ReaderError:
        is_trajectory = False
    if not is_trajectory:
        crystal = _load(source)
        if not crystal.is_ordered:
            raise InputError(f"{source}: has partial occupancies; choose an ordering (sse-screen orderings)")
        return sample_crystal(crystal, protocol, rng, parent_configuration=source)
    options = ReadOptions(time_step_fs=None if time_step_ps is None else 1000 * time_step_ps)
    trajectory = read_trajectory(path, options=options)
    return sample_trajectory(
        trajectory, protocol, rng, parent_configuration=path.name, run=path.name, model=model
    )


def _stored_run(uuid: str) -> tuple[MolecularDynamicsOutput, Trajectory, int]:
    """Fetch a run of the database without its equilibration, and the number of its first frame."""
    from sse_screen.database.blobs import BlobStore
    from sse_screen.database.stores import OUTPUTS, clear_errors, connect
    from sse_screen.documents.molecular_dynamics import MolecularDynamicsOutput
    from sse_screen.dynamics.trajectory_file import read_trajectory_file
    from sse_screen.settings import get_settings

    settings = get_settings()
    with clear_errors(settings):
        database = connect(settings)
        query = {"uuid": uuid, "output.kind": "molecular_dynamics"}
        found = database[OUTPUTS].find_one(query, {"_id": 0, "output": 1}, sort=[("index", -1)])
        if found is None:
            raise InputError(f"{_STORED}{uuid}: no run of molecular dynamics of that uuid is stored")
        run = MolecularDynamicsOutput.model_validate(found["output"])
        content = BlobStore(database).get(run.trajectory.sha256)
    first = run.protocol.n_equilibration_frames
    return run, read_trajectory_file(content, first), first


def _label_all(
    structures: list[UnlabelledStructure], level: LevelOfTheory, label_one: LabelOne, output: Path
) -> tuple[list[LabelledStructure], int, list[str]]:
    """Label what the file does not hold yet; it is written after each label."""
    from pymatgen.core import Structure
    from rich.console import Console
    from rich.progress import track

    from sse_screen.training.extended_xyz import read_extended_xyz, write_extended_xyz
    from sse_screen.training.labelled import common_level
    from sse_screen.training.labelling import LabellingError, geometry_hash

    made = list(read_extended_xyz(output).structures) if output.exists() else []
    # a file never gets labels of another level than those it has
    common_level([level, *(structure.level_of_theory for structure in made)])
    known = {structure.geometry_hash for structure in made}
    failures: list[str] = []
    reused = 0
    for one in track(structures, "labels", console=Console(stderr=True), transient=True):
        atoms = Structure.from_dict(one.structure).to_ase_atoms(msonable=False)
        if geometry_hash(atoms) in known:
            reused += 1
            continue
        try:
            made.append(label_one(atoms, one).to_labelled())
        except LabellingError as error:
            failures.append(str(error))
            continue
        write_extended_xyz(output, made)
    return made, reused, failures


def _report(
    source: str,
    made: list[LabelledStructure],
    reused: int,
    failures: list[str],
    n_left_out: int,
    as_json: bool,
) -> None:
    from sse_screen.training.datasets import Dataset

    dataset = Dataset(tuple(made))
    if as_json:
        described = {
            "source": source,
            "labels": len(dataset),
            "found_in_file": reused,
            "failures": failures,
            "left_out": n_left_out,
            "dataset": dataset.dataset_hash,
            "level_of_theory": dataset.level_of_theory.describe(),
        }
        typer.echo(json.dumps(described, ensure_ascii=False))
        return
    for failure in failures:
        typer.echo(f"no label: {failure}", err=True)
    if n_left_out:
        typer.echo(f"{n_left_out} structures with atoms too near were left out", err=True)
    typer.echo(
        f"{len(dataset)} labels at {dataset.level_of_theory.describe()}; set {dataset.dataset_hash[:12]}"
    )
