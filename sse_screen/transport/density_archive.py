"""The density of the mobile ion as bytes for a blob store, and back."""

import io
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from sse_screen.exceptions import InputError
from sse_screen.transport.density import DensityGrid

Array = NDArray[np.floating]

CONTENT_TYPE = "application/x-npz"
_FORMAT = "sse-screen-density-1"


class StoredDensity(NamedTuple):
    """Density with what is drawn beside it.

    Attributes
    ----------
    density : DensityGrid
        Not smoothed.
    smoothing_A : float
        Width of the Gaussian with which the sites were looked for, Å.
    fractional : ndarray, shape (n_atoms, 3)
        Mean positions of the framework.
    species : tuple of str
        Its symbols.
    """

    density: DensityGrid
    smoothing_A: float
    fractional: Array
    species: tuple[str, ...]


def pack_density(stored: StoredDensity) -> bytes:
    """Return a compressed npz archive; equal densities give equal bytes.

    What is stored are the visits of each voxel, which are integers, so that nothing is lost.

    Parameters
    ----------
    stored : StoredDensity
        Density, not smoothed.

    Raises
    ------
    InputError
        If the density is smoothed: its values are no counts.
    """
    density = stored.density
    if density.spread != 1.0:
        raise InputError("only a density that is not smoothed can be packed: its values are no counts")
    counts = np.rint(density.values_per_A3 / density.one_count_per_A3).astype(np.int64)
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        format=np.array(_FORMAT),
        counts=counts.astype(np.min_scalar_type(int(counts.max(initial=0)))),
        cell_A=np.asarray(density.cell_A, dtype=float),
        norm=np.array(float(density.norm)),
        n_samples=np.array(density.n_samples),
        smoothing_A=np.array(float(stored.smoothing_A)),
        framework_fractional=np.round(np.asarray(stored.fractional, dtype=float), 6).reshape(-1, 3),
        framework_species=np.array(stored.species, dtype="U3"),
    )
    return buffer.getvalue()


def unpack_density(content: bytes) -> StoredDensity:
    """Return what `pack_density` packed.

    Parameters
    ----------
    content : bytes
        The archive.

    Raises
    ------
    InputError
        If the bytes are no such archive.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            if str(archive["format"]) != _FORMAT:
                raise InputError(f"density archive: format {archive['format']}, expected {_FORMAT}")
            values = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise InputError(f"density archive: not readable ({error})") from error
    counts, cell = values["counts"].astype(float), values["cell_A"]
    norm, n_samples = float(values["norm"]), int(values["n_samples"])
    voxel = abs(np.linalg.det(cell)) / counts.size
    density = DensityGrid(counts * (norm / (n_samples * voxel)), cell, norm, n_samples)
    return StoredDensity(
        density=density,
        smoothing_A=float(values["smoothing_A"]),
        fractional=values["framework_fractional"],
        species=tuple(values["framework_species"].tolist()),
    )
