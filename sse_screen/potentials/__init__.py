"""Potentials: loading, identity by the hash of their weights, fast evaluation."""
