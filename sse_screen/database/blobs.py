"""Large arrays in GridFS, named by the sha256 of their bytes.

Writing is idempotent and safe when several processes write the same bytes at once or one is killed half-way:
every piece is an insert-if-absent, and the entry that makes a blob visible is written last.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from gridfs import GridFSBucket
from gridfs.errors import NoFile
from pymongo.errors import DuplicateKeyError

from sse_screen.database.errors import BlobCorruptError, BlobNotFoundError
from sse_screen.database.stores import BLOBS
from sse_screen.documents.base import BlobReference
from sse_screen.exceptions import InputError

if TYPE_CHECKING:
    from gridfs import GridOut
    from pymongo.database import Database

CHUNK_BYTES = 1024 * 1024


class BlobStore:
    """Blobs by content hash, in the GridFS bucket ``blobs``.

    Parameters
    ----------
    database : pymongo.database.Database
        Where the bucket is.
    """

    def __init__(self, database: Database[dict[str, Any]]):
        self._files = database[f"{BLOBS}.files"]
        self._chunks = database[f"{BLOBS}.chunks"]
        self._bucket = GridFSBucket(database, BLOBS)

    def put(self, data: bytes, content_type: str = "application/octet-stream") -> BlobReference:
        """Store bytes; storing them again changes nothing.

        Parameters
        ----------
        data : bytes
            The bytes, already compressed where that pays.
        content_type : str
            What they are.

        Returns
        -------
        BlobReference
            Their name and size.
        """
        return self._put(io.BytesIO(data), content_type, "the data")

    def put_file(self, path: Path, content_type: str = "application/octet-stream") -> BlobReference:
        """Store a file piece by piece, never whole in memory.

        Parameters
        ----------
        path : Path
            The file; it must not change meanwhile.
        content_type : str
            What it is.

        Returns
        -------
        BlobReference
            Its name and size.

        Raises
        ------
        InputError
            When the file cannot be read or changes while it is stored.
        """
        try:
            with path.open("rb") as handle:
                return self._put(handle, content_type, str(path))
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from None

    def get(self, sha256: str) -> bytes:
        """Read a blob and check it against its name.

        Parameters
        ----------
        sha256 : str
            Its name.

        Returns
        -------
        bytes
            Its bytes.

        Raises
        ------
        BlobNotFoundError
            When there is none.
        BlobCorruptError
            When bytes are missing or differ.
        """
        buffer = io.BytesIO()
        self._copy(sha256, buffer)
        return buffer.getvalue()

    def get_file(self, sha256: str, path: Path) -> Path:
        """Read a blob into a file, piece by piece, and check it against its name.

        Parameters
        ----------
        sha256 : str
            Its name.
        path : Path
            File to write; it appears only when it is whole and right.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        BlobNotFoundError, BlobCorruptError
            As :meth:`get`.
        """
        part = path.with_name(path.name + ".part")
        try:
            with part.open("wb") as handle:
                self._copy(sha256, handle)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return path

    def open(self, sha256: str) -> GridOut:
        """Open a blob for reading any part of it; what is read is not checked against the name.

        Parameters
        ----------
        sha256 : str
            Its name.

        Returns
        -------
        gridfs.GridOut
            File-like, seekable.

        Raises
        ------
        BlobNotFoundError
            When there is none.
        """
        try:
            return self._bucket.open_download_stream(sha256)
        except NoFile:
            raise BlobNotFoundError(f"blob {sha256}: is not stored") from None

    def exists(self, sha256: str) -> bool:
        """Tell whether a blob is stored whole.

        Parameters
        ----------
        sha256 : str
            Its name.

        Returns
        -------
        bool
            True when it is.
        """
        return self._files.find_one({"_id": sha256}, {"_id": 1}) is not None

    def delete(self, sha256: str) -> None:
        """Remove a blob; the caller makes sure that no document points to it.

        Parameters
        ----------
        sha256 : str
            Its name.
        """
        self._files.delete_one({"_id": sha256})
        self._chunks.delete_many({"files_id": sha256})

    def _put(self, stream: IO[bytes], content_type: str, name: str) -> BlobReference:
        digest, size = hashlib.sha256(), 0
        for piece in _pieces(stream):
            digest.update(piece)
            size += len(piece)
        sha256 = digest.hexdigest()
        reference = BlobReference(sha256=sha256, size_bytes=size, content_type=content_type)
        if self.exists(sha256):
            return reference
        self._chunks.create_index([("files_id", 1), ("n", 1)], unique=True)
        stream.seek(0)
        again = hashlib.sha256()
        for number, piece in enumerate(_pieces(stream)):
            again.update(piece)
            self._insert_if_absent(self._chunks, {"files_id": sha256, "n": number}, {"data": piece})
        if again.hexdigest() != sha256:
            self.delete(sha256)
            raise InputError(f"{name}: changed while it was stored; store it when it is complete")
        entry = {"length": size, "chunkSize": CHUNK_BYTES, "uploadDate": datetime.now(UTC)}
        self._insert_if_absent(
            self._files, {"_id": sha256}, {**entry, "metadata": {"content_type": content_type}}
        )
        return reference

    @staticmethod
    def _insert_if_absent(collection: Any, key: dict[str, Any], rest: dict[str, Any]) -> None:
        # the error means that another process inserted the same bytes between our look and our insert
        with suppress(DuplicateKeyError):
            collection.update_one(key, {"$setOnInsert": rest}, upsert=True)

    def _copy(self, sha256: str, target: IO[bytes]) -> None:
        from gridfs.errors import CorruptGridFile

        source = self.open(sha256)
        digest = hashlib.sha256()
        try:
            for piece in _pieces(source):
                digest.update(piece)
                target.write(piece)
        except CorruptGridFile as error:
            raise BlobCorruptError(f"blob {sha256}: {error}; delete it and rerun its job") from None
        if digest.hexdigest() != sha256:
            raise BlobCorruptError(
                f"blob {sha256}: the stored bytes hash to {digest.hexdigest()}; delete it and rerun its job"
            )


def _pieces(stream: Any) -> Iterator[bytes]:
    while piece := stream.read(CHUNK_BYTES):
        yield piece
