"""MACE, as an extra: from scratch, fine-tuned, or fine-tuned with several heads against forgetting.

Training is MACE's own (Batatia et al. 2022, arXiv:2206.07697), in a process of its own; energies of the
elements, splits and errors are the platform's. A killed training goes on at its last epoch, on one thread of
the same machine with the same numbers.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from sse_screen.documents.base import content_hash
from sse_screen.documents.training import MaceProtocol
from sse_screen.potentials import load_calculator
from sse_screen.potentials.mace_calculator import mace_version, read_mace
from sse_screen.training.atom_reference import ReferenceShift, check_reference, fit_reference_shift
from sse_screen.training.errors import TrainingDivergedError, TrainingInputError
from sse_screen.training.labelled import LabelledStructure
from sse_screen.training.mace_process import read_history
from sse_screen.training.metrics import predict_with
from sse_screen.training.result import Progress, TrainingResult
from sse_screen.training.sets import TrainingSets

_NAME = "model"
_POLL_S = 0.5


def train_mace(
    sets: TrainingSets,
    protocol: MaceProtocol,
    seed: int,
    folder: Path,
    *,
    foundation: Path | None = None,
    replay: Sequence[LabelledStructure] = (),
    progress: Progress = lambda _done, _total: None,
    device: str = "cpu",
) -> TrainingResult:
    """Train a MACE.

    Parameters
    ----------
    sets : TrainingSets
        Labelled structures to learn from and to judge by.
    protocol : MaceProtocol
        Architecture (from scratch), loss weights, epochs.
    seed : int
        Seed of weights and batches.
    folder : Path
        Of this training alone; a killed one goes on at its last epoch.
    foundation : Path, optional
        Model to fine-tune; without it a small one is trained from scratch. A model file can hold code that
        runs when it is loaded: bring only files that you trust.
    replay : sequence of LabelledStructure
        Structures with the foundation's labels for a second head, so that it is not forgotten.
    progress : callable
        Takes epochs done and the most there will be.
    device : str
        ``cpu`` or ``cuda``.

    Returns
    -------
    TrainingResult
        With the weights of the best epoch.

    Raises
    ------
    InputError
        MACE is not installed, or a method lacks its foundation model or replay set.
    TrainingDivergedError
        MACE ended with an error; its last lines are in the message.
    """
    mace_version()
    if (protocol.method == "scratch") != (foundation is None):
        raise TrainingInputError(
            f"method {protocol.method}: " + ("takes no" if foundation else "needs a") + " foundation model"
        )
    if (protocol.method == "multihead") != bool(replay):
        raise TrainingInputError(f"method {protocol.method}: a replay set is for multihead, which needs one")
    began_with = None if foundation is None else hashlib.sha256(foundation.read_bytes()).hexdigest()
    replayed = [structure.content_hash for structure in replay]
    identity = content_hash([sets.sha256, began_with, replayed, protocol.model_dump(mode="json"), seed])
    shift, energies = _element_energies(sets.training, protocol, foundation, device)
    if foundation is not None and not replay:
        foundation = _with_energies(foundation, energies, folder / "foundation.model")
    _write_frames(folder / "training.xyz", sets.training)
    _write_frames(folder / "validation.xyz", sets.validation)
    if replay:
        _write_frames(folder / "replay.xyz", replay)
    # MACE leaves out a batch that is not full, so that a set smaller than one would teach nothing
    fitting = protocol.model_copy(update={"batch_size": min(protocol.batch_size, len(sets.training))})
    _run(
        _options(fitting, seed, energies, foundation, bool(replay), device),
        identity,
        folder,
        lambda: progress(len(read_history(folder)), protocol.maximum_epochs),
    )
    return TrainingResult((folder / f"{_NAME}.model").read_bytes(), shift, read_history(folder))


def _run(options: list[str], identity: str, folder: Path, look: Callable[[], None]) -> None:
    """Run MACE in a process of its own; ended when this one is interrupted."""
    command = [sys.executable, "-W", "ignore", "-m", "sse_screen.training.mace_process", identity, *options]
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        try:
            while process.poll() is None:
                time.sleep(_POLL_S)
                look()
        finally:
            process.kill()
            process.wait()
    if process.returncode != 0:
        tail = " | ".join((folder / "log.txt").read_text(errors="replace").splitlines()[-4:])
        raise TrainingDivergedError(f"MACE ended with status {process.returncode}: {tail}")


def _element_energies(
    structures: Sequence[LabelledStructure], protocol: MaceProtocol, foundation: Path | None, device: str
) -> tuple[ReferenceShift, dict[int, float]]:
    """Fit the energies of the elements, or what has to be added to the foundation's."""
    from ase.data import atomic_numbers

    if foundation is None:
        shift = fit_reference_shift(structures, np.zeros(len(structures)))
        return shift, {atomic_numbers[element]: value for element, value in shift.shift_eV.items()}
    calculator = load_calculator(str(foundation), device=device)
    predicted = predict_with(calculator, structures).energies_eV_per_atom
    found = foundation_energies(foundation)
    elements = {atomic_numbers[symbol] for structure in structures for symbol in structure.species}
    if missing := sorted(elements - found.keys()):
        raise TrainingInputError(f"{foundation}: the foundation model does not know the elements {missing}")
    if protocol.atom_reference == "keep":
        check_reference(structures, predicted, protocol.maximum_reference_error_eV_per_atom)
        return ReferenceShift({}, 0.0, True), found
    shift = fit_reference_shift(structures, predicted)
    for element, value in shift.shift_eV.items():
        found[atomic_numbers[element]] += value
    return shift, found


def foundation_energies(path: Path) -> dict[int, float]:
    """Read the energies of the elements of a MACE model.

    Parameters
    ----------
    path : Path
        Model file.

    Returns
    -------
    dict
        Energy (eV) by atomic number, of the first head.
    """
    import torch

    model = read_mace(path)
    energies = torch.atleast_2d(model.atomic_energies_fn.atomic_energies)[0]
    numbers = model.atomic_numbers.tolist()
    return {int(z): float(e) for z, e in zip(numbers, energies.tolist(), strict=True)}


def _with_energies(foundation: Path, energies: dict[int, float], target: Path) -> Path:
    """Write a foundation model with other energies of its elements: MACE keeps those of the file."""
    import torch

    model = read_mace(foundation)
    held = model.atomic_energies_fn.atomic_energies
    values = torch.tensor([energies[int(z)] for z in model.atomic_numbers.tolist()], dtype=held.dtype)
    held.copy_(values.expand_as(held))
    torch.save(model, target)
    return target


def _options(
    protocol: MaceProtocol,
    seed: int,
    energies: dict[int, float],
    foundation: Path | None,
    with_replay: bool,
    device: str,
) -> list[str]:
    options: dict[str, object] = {
        "name": _NAME,
        "seed": seed,
        "train_file": "training.xyz",
        "valid_file": "validation.xyz",
        "E0s": json.dumps(energies).replace('"', ""),
        "model": "MACE",
        "num_channels": protocol.channels,
        "max_L": protocol.largest_order,
        "num_interactions": protocol.interactions,
        "correlation": protocol.correlation,
        "r_max": protocol.cutoff_A,
        "batch_size": protocol.batch_size,
        "valid_batch_size": protocol.batch_size,
        "max_num_epochs": protocol.maximum_epochs,
        "patience": protocol.patience,
        "lr": protocol.learning_rate,
        "loss": "universal",
        "energy_weight": protocol.energy_weight,
        "forces_weight": protocol.force_weight,
        "stress_weight": protocol.stress_weight,
        "compute_stress": True,
        "energy_key": "REF_energy",
        "forces_key": "REF_forces",
        "stress_key": "REF_stress",
        "default_dtype": protocol.precision,
        "device": device.split(":")[0],
        "eval_interval": 1,
        "plot": False,
    }
    if foundation is not None:
        options |= {"foundation_model": str(foundation.resolve()), "multiheads_finetuning": with_replay}
    if with_replay:
        options |= {"pt_train_file": "replay.xyz", "force_mh_ft_lr": True}
    return [f"--{name}={value}" for name, value in options.items()]


def _write_frames(path: Path, structures: Sequence[LabelledStructure]) -> None:
    """Write extended XYZ with MACE's keys."""
    from ase.io import write

    frames = []
    for structure in structures:
        atoms = structure.to_atoms()
        atoms.calc = None
        atoms.info["REF_energy"] = structure.energy_eV
        atoms.arrays["REF_forces"] = np.array(structure.forces_eV_per_A)
        if structure.stress_eV_per_A3 is not None:
            atoms.info["REF_stress"] = structure.stress_eV_per_A3.reshape(-1)
        frames.append(atoms)
    write(path, frames, format="extxyz")
