"""Interatomic potentials by name: universal, fine-tuned, classical."""

from sse_screen.potentials.loading import load_calculator, load_chgnet, load_engine
from sse_screen.potentials.registry import known_potentials, resolve_potential

__all__ = ["known_potentials", "load_calculator", "load_chgnet", "load_engine", "resolve_potential"]
