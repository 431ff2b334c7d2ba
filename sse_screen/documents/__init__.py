"""Pydantic models of everything that is stored, one file a collection."""
