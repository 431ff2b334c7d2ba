"""Sets of vertices as rows of 64-bit words, and their images under permutations by byte look-up tables."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class BitLayout:
    """Where every vertex has its bit; every class starts at a byte of its own.

    Attributes
    ----------
    classes : ndarray of int, shape (n,)
        Class of every vertex.
    """

    classes: np.ndarray

    @cached_property
    def positions(self) -> np.ndarray:
        """Bit of every vertex, shape (n,)."""
        positions = np.zeros(len(self.classes), dtype=np.int64)
        offset = 0
        for number in np.unique(self.classes):
            members = np.flatnonzero(self.classes == number)
            positions[members] = offset + np.arange(len(members))
            offset += -(-len(members) // 8) * 8
        return positions

    @cached_property
    def n_words(self) -> int:
        """Number of 64-bit words of a set."""
        return int(self.positions.max(initial=0)) // 64 + 1

    def byte_range(self, number: int) -> range:
        """Return the bytes that hold one class.

        Parameters
        ----------
        number : int
            The class.

        Returns
        -------
        range
            Byte indices, eight to a word.
        """
        bits = self.positions[self.classes == number]
        return range(int(bits.min()) // 8, int(bits.max()) // 8 + 1)

    def pack(self, chosen: np.ndarray) -> np.ndarray:
        """Turn Boolean rows into words.

        Parameters
        ----------
        chosen : ndarray of bool, shape (m, n)
            One row a set.

        Returns
        -------
        ndarray of uint64, shape (m, n_words)
            The same sets.
        """
        bits = np.zeros((len(chosen), self.n_words * 64), dtype=np.uint8)
        bits[:, self.positions] = chosen
        packed = np.packbits(bits, axis=1, bitorder="little")
        return np.ascontiguousarray(packed).view("<u8")

    def unpack(self, words: np.ndarray) -> np.ndarray:
        """Turn words into Boolean rows.

        Parameters
        ----------
        words : ndarray of uint64, shape (m, n_words)
            Sets.

        Returns
        -------
        ndarray of bool, shape (m, n)
            One row a set.
        """
        packed = np.ascontiguousarray(words, dtype="<u8").view(np.uint8)
        return np.unpackbits(packed, axis=1, bitorder="little")[:, self.positions].astype(bool)


class ImageTables:
    """Byte look-up tables of one class for all operations of a group.

    Parameters
    ----------
    layout : BitLayout
        Bits of the vertices.
    permutations : ndarray of int, shape (order, n)
        The group on the vertices.
    number : int
        The class.
    """

    def __init__(self, layout: BitLayout, permutations: np.ndarray, number: int) -> None:
        self.bytes = layout.byte_range(number)
        self.words = range(self.bytes[0] // 8, self.bytes[-1] // 8 + 1)
        members = np.flatnonzero(layout.classes == number)
        bits = layout.positions[members]
        self._sources = bits - 8 * self.bytes[0]
        self._targets = layout.positions[permutations[:, members]]
        self._cache: dict[int, np.ndarray] = {}
        table_bytes = len(self.bytes) * 256 * len(self.words) * 8
        self._capacity = max(8, 32 * 2**20 // table_bytes)
        own = np.zeros(layout.n_words * 64, dtype=np.uint8)
        own[bits] = 1
        self.own_bits = np.packbits(own, bitorder="little").view("<u8")

    def table(self, operation: int) -> np.ndarray:
        """Return the table of one operation.

        Parameters
        ----------
        operation : int
            Row of the group.

        Returns
        -------
        ndarray of uint64, shape (len(words), len(bytes), 256)
            Image of every value of every byte, in the words that hold the class.
        """
        found = self._cache.get(operation)
        if found is None:
            found = self._build(operation)
            if len(self._cache) < self._capacity:
                self._cache[operation] = found
        return found

    def _build(self, operation: int) -> np.ndarray:
        table = np.zeros((len(self.words), len(self.bytes), 256), dtype=np.uint64)
        values = np.arange(256, dtype=np.uint64)
        for source, target in zip(self._sources, self._targets[operation], strict=True):
            bit = (values >> np.uint64(source % 8)) & np.uint64(1)
            table[target // 64 - self.words[0], source // 8] |= bit << np.uint64(target % 64)
        return table

    def compare(self, operation: int, sets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Compare the images of sets under one operation with the sets themselves.

        Sets are ordered as numbers, the last word first.

        Parameters
        ----------
        operation : int
            Row of the group.
        sets : ndarray of uint64, shape (m, n_words)
            C-contiguous; only the bits of the class are looked at.

        Returns
        -------
        smaller, equal : ndarray of bool, shape (m,)
            Whether the image is smaller than the set, or the same.
        """
        table = self.table(operation)
        columns = sets.view(np.uint8)
        smaller = np.zeros(len(sets), dtype=bool)
        open_rows: np.ndarray | slice = slice(None)
        for place in reversed(range(len(self.words))):
            word = self.words[place]
            rows = columns[open_rows]
            image = np.zeros(len(rows), dtype=np.uint64)
            for number, byte in enumerate(self.bytes):
                image |= table[place, number].take(rows[:, byte])
            own = sets[open_rows, word] & self.own_bits[word]
            less, same = image < own, image == own
            if isinstance(open_rows, slice):
                smaller, open_rows = less, np.flatnonzero(same)
            else:
                smaller[open_rows[less]] = True
                open_rows = open_rows[same]
        equal = np.zeros(len(sets), dtype=bool)
        equal[open_rows] = True
        return smaller, equal
