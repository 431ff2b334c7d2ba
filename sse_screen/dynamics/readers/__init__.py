"""Readers that bring trajectory files of other programs to the one array form."""

from sse_screen.dynamics.readers.reading import FORMATS, ReadOptions, guess_format, read_trajectory

__all__ = ["FORMATS", "ReadOptions", "guess_format", "read_trajectory"]
