"""Files that break off, and options that cannot be."""

import numpy as np
import pytest

from sse_screen.dynamics.readers import ReadOptions, read_trajectory
from sse_screen.dynamics.readers.frames import ReaderError


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "run.npz"
    rng = np.random.default_rng(1)
    cells = np.tile(8.0 * np.eye(3), (50, 1, 1))
    np.savez_compressed(
        path, positions=rng.random((50, 8, 3)), cells=cells, species=["Li"] * 8, times_ps=np.arange(50) * 0.1
    )
    return path


@pytest.mark.parametrize("share", [0.02, 0.5, 0.95, 0.999])
def test_an_archive_cut_anywhere_is_one_clear_error(archive, share):
    data = archive.read_bytes()
    archive.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ReaderError, match="not a readable npz file"):
        read_trajectory(archive)


def test_junk_is_no_trajectory_archive(archive):
    archive.write_bytes(b"not numpy's" * 40)
    with pytest.raises(ReaderError, match="it is no trajectory archive") as caught:
        read_trajectory(archive)
    assert "pickle" not in str(caught.value)


def test_an_archive_with_a_flipped_byte_is_one_clear_error(archive):
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 0xFF
    archive.write_bytes(bytes(data))
    with pytest.raises(ReaderError, match="not a readable npz file"):
        read_trajectory(archive)


@pytest.mark.parametrize("time_step_fs", [0.0, -2.0, float("nan")])
def test_a_time_step_is_above_zero_also_where_the_file_has_times(archive, time_step_fs):
    with pytest.raises(ReaderError, match="not positive"):
        read_trajectory(archive, options=ReadOptions(time_step_fs=time_step_fs))
