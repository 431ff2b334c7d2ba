"""Crystals: prototypes, supercells, orderings, checks at the door."""
