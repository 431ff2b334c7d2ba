"""Hulls, densities of states, free energies."""
