"""MACE, as an extra: from scratch, fine-tuned, or fine-tuned with several heads against forgetting.

Training is MACE's own (Batatia et al. 2022, arXiv:2206.07697), in a process of its own; energies of the
elements, splits and errors are the platform's. MACE takes up a killed training at the best epoch so far, not
the last, so that its course may differ from an unbroken one.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sse_screen.documents.training import EpochRecord, MaceProtocol
from sse_screen.potentials import load_calculator
from sse_screen.potentials.mace_calculator import mace_version
from sse_screen.training.atom_reference import ReferenceShift, check_reference, fit_reference_shift
from sse_screen.training.errors import TrainingDivergedError, TrainingInputError
from sse_screen.training.labelled import LabelledStructure
from sse_screen.training.metrics import predict_with
from sse_screen.training.sets import TrainingSets

_NAME = "model"
_POLL_S = 0.5
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class MaceResult:
    """A finished training of a MACE.

    Attributes
    ----------
    weights : bytes
        The model file.
    reference_shift : ReferenceShift
        Energies of the elements that it was given (from scratch), or what was added to the foundation's.
    history : list of EpochRecord
        One record an epoch.
    """

    weights: bytes
    reference_shift: ReferenceShift
    history: list[EpochRecord]

    @property
    def best_epoch(self) -> int:
        """Epoch with the lowest held-out loss, whose weights MACE keeps."""
        return min(self.history, key=lambda record: (record.held_out_loss, record.epoch)).epoch


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
) -> MaceResult:
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
        Of this training alone; a killed one goes on at its best epoch.
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
    MaceResult
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
    shift, energies = _element_energies(sets.training, protocol, foundation, device)
    if foundation is not None and not replay:
        foundation = _with_energies(foundation, energies, folder / "foundation.model")
    _write_frames(folder / "training.xyz", sets.training)
    _write_frames(folder / "held_out.xyz", sets.held_out)
    if replay:
        _write_frames(folder / "replay.xyz", replay)
    command = _command(protocol, seed, energies, foundation, bool(replay), device)
    results = folder / "results" / f"{_NAME}_run-{seed}_train.txt"
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        while process.poll() is None:
            progress(len(_history(results, protocol)), protocol.maximum_epochs)
            time.sleep(_POLL_S)
    model = folder / f"{_NAME}.model"
    if process.returncode != 0 or not model.exists():
        tail = " | ".join((folder / "log.txt").read_text(errors="replace").splitlines()[-4:])
        raise TrainingDivergedError(f"MACE ended with status {process.returncode}: {tail}")
    return MaceResult(model.read_bytes(), shift, _history(results, protocol))


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
    import mace  # noqa: F401 - has to be imported before e3nn
    import torch

    model = torch.load(path, map_location="cpu", weights_only=False)
    energies = torch.atleast_2d(model.atomic_energies_fn.atomic_energies)[0]
    numbers = model.atomic_numbers.tolist()
    return {int(z): float(e) for z, e in zip(numbers, energies.tolist(), strict=True)}


def _with_energies(foundation: Path, energies: dict[int, float], target: Path) -> Path:
    """Write a foundation model with other energies of its elements: MACE keeps those of the file."""
    import mace  # noqa: F401 - has to be imported before e3nn
    import torch

    model = torch.load(foundation, map_location="cpu", weights_only=False)
    held = model.atomic_energies_fn.atomic_energies
    values = torch.tensor([energies[int(z)] for z in model.atomic_numbers.tolist()], dtype=held.dtype)
    held.copy_(values.expand_as(held))
    torch.save(model, target)
    return target


def _command(
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
        "valid_file": "held_out.xyz",
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
    flags = [f"--{name}={value}" for name, value in options.items()]
    return [sys.executable, "-W", "ignore", "-m", "mace.cli.run_train", *flags, "--restart_latest"]


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


def _history(path: Path, protocol: MaceProtocol) -> list[EpochRecord]:
    """Read the epochs from MACE's own record; of an epoch that was run again the last counts."""
    if not path.exists():
        return []
    losses: dict[int, list[float]] = {}
    records: dict[int, EpochRecord] = {}
    for line in path.read_text().splitlines():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue  # a line that is being written
        if entry.get("epoch") is None:
            continue
        number = int(entry["epoch"]) + 1
        if entry.get("mode") == "opt":
            losses.setdefault(number, []).append(float(entry["loss"]))
        elif entry.get("mode") == "eval":
            records[number] = EpochRecord(
                epoch=number,
                learning_rate=protocol.learning_rate,
                training_loss=float(np.mean(losses.get(number, [entry["loss"]]))),
                held_out_loss=float(entry["loss"]),
                energy_error_eV_per_atom=float(entry["rmse_e_per_atom"]),
                force_error_eV_per_A=float(entry["rmse_f"]),
            )
    return [records[number] for number in sorted(records)]
