"""Molecular dynamics, relaxation, trajectories and their readers."""
