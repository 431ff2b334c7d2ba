"""Trajectories of finished runs, read from the blob store as the analysis needs them."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from sse_screen.database.blobs import BlobStore
from sse_screen.documents.molecular_dynamics import MolecularDynamicsOutput
from sse_screen.dynamics.trajectory import Trajectory
from sse_screen.dynamics.trajectory_file import read_trajectory_file


def used_frames(blobs: BlobStore, output: MolecularDynamicsOutput) -> Trajectory:
    """Read the part of a run that is analysed.

    Parameters
    ----------
    blobs : BlobStore
        Where its trajectory is.
    output : MolecularDynamicsOutput
        The run.

    Returns
    -------
    Trajectory
        Its frames after the equilibration; the stored file passes through a temporary one, piece by piece,
        and is checked against its hash on the way, so that the frames are all that is ever in memory.
    """
    with TemporaryDirectory(prefix="sse-screen-") as folder:
        file = blobs.get_file(output.trajectory.sha256, Path(folder) / "trajectory.h5")
        return read_trajectory_file(file, output.first_used_frame)
