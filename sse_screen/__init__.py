"""Screening of solid-state battery electrolytes, from crystals to numbers that can be published."""

__version__ = "0.1.0"
