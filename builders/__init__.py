"""Maggma builders, one small file a collection."""
