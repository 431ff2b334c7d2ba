"""Blobs: by content, idempotent, safe against races, killed writers and corrupted bytes."""

import hashlib
from concurrent.futures import ThreadPoolExecutor

import gridfs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sse_screen.database.blobs import CHUNK_BYTES, BlobStore
from sse_screen.database.errors import BlobCorruptError, BlobNotFoundError
from sse_screen.exceptions import InputError


@pytest.fixture
def blobs(database):
    return BlobStore(database)


def counts(database):
    return database["blobs.files"].count_documents({}), database["blobs.chunks"].count_documents({})


@pytest.mark.parametrize(
    "size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 17], ids=str
)
def test_round_trip(blobs, size, tmp_path):
    data = bytes(i % 251 for i in range(size))
    reference = blobs.put(data, "application/x-test")
    assert reference.sha256 == hashlib.sha256(data).hexdigest()
    assert reference.size_bytes == size
    assert reference.content_type == "application/x-test"
    assert blobs.get(reference.sha256) == data
    assert blobs.get_file(reference.sha256, tmp_path / "out").read_bytes() == data


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=300))
def test_same_bytes_same_name(blobs, data):
    assert blobs.put(data) == blobs.put(bytes(data))
    assert blobs.get(blobs.put(data).sha256) == data


def test_storing_again_changes_nothing(blobs, database):
    data = b"x" * (CHUNK_BYTES + 5)
    blobs.put(data)
    before = counts(database), database["blobs.files"].find_one()
    blobs.put(data)
    assert (counts(database), database["blobs.files"].find_one()) == before
    assert counts(database) == (1, 2)


def test_many_writers_at_once(blobs, database):
    data = bytes(range(256)) * 12_000  # three pieces
    with ThreadPoolExecutor(8) as pool:
        references = set(pool.map(lambda _: BlobStore(database).put(data).sha256, range(24)))
    assert len(references) == 1
    assert counts(database) == (1, 3)
    assert blobs.get(references.pop()) == data


def test_writer_killed_half_way(blobs, database):
    data = b"a" * CHUNK_BYTES + b"b" * 10
    name = hashlib.sha256(data).hexdigest()
    database["blobs.chunks"].insert_one({"files_id": name, "n": 0, "data": data[:CHUNK_BYTES]})
    assert not blobs.exists(name)
    with pytest.raises(BlobNotFoundError, match=name):
        blobs.get(name)
    blobs.put(data)
    assert blobs.get(name) == data


def test_any_gridfs_client_reads_it(blobs, database):
    reference = blobs.put(b"plain GridFS")
    assert gridfs.GridFS(database, "blobs").get(reference.sha256).read() == b"plain GridFS"


def test_part_of_a_blob(blobs):
    reference = blobs.put(bytes(range(256)) * 8192)
    with blobs.open(reference.sha256) as handle:
        handle.seek(CHUNK_BYTES + 3)
        assert handle.read(4) == bytes([3, 4, 5, 6])


def test_corrupted_bytes_are_noticed(blobs, database, tmp_path):
    reference = blobs.put(b"right" * 10)
    database["blobs.chunks"].update_one({}, {"$set": {"data": b"wrong" * 10}})
    with pytest.raises(BlobCorruptError, match=reference.sha256):
        blobs.get(reference.sha256)
    with pytest.raises(BlobCorruptError):
        blobs.get_file(reference.sha256, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_missing_piece_is_noticed(blobs, database):
    reference = blobs.put(b"z" * (2 * CHUNK_BYTES))
    database["blobs.chunks"].delete_one({"n": 1})
    with pytest.raises(BlobCorruptError, match=reference.sha256):
        blobs.get(reference.sha256)


def test_file(blobs, tmp_path):
    path = tmp_path / "trajectory.h5"
    path.write_bytes(b"frames" * 300_000)
    reference = blobs.put_file(path, "application/x-hdf5")
    assert reference == blobs.put(path.read_bytes(), "application/x-hdf5")
    with pytest.raises(InputError, match=r"absent\.h5: cannot be read"):
        blobs.put_file(tmp_path / "absent.h5")


def test_file_that_changes_meanwhile(blobs, database):
    class Growing:
        def __init__(self):
            self.content, self.done = [b"first", b""], False

        def read(self, _):
            return self.content.pop(0)

        def seek(self, _):
            self.content = [b"second", b""]

    with pytest.raises(InputError, match="changed while it was stored"):
        blobs._put(Growing(), "text/plain", "growing.h5")
    assert counts(database) == (0, 0)


def test_delete(blobs, database):
    reference = blobs.put(b"gone")
    blobs.delete(reference.sha256)
    assert not blobs.exists(reference.sha256)
    assert counts(database) == (0, 0)
