"""All builders, in the order in which they depend on one another."""

from __future__ import annotations

from sse_screen.builders.activation_energy import ActivationEnergyBuilder
from sse_screen.builders.base import DerivedBuilder
from sse_screen.builders.candidate import CandidateBuilder
from sse_screen.builders.configuration import ConfigurationBuilder
from sse_screen.builders.configurational_free_energy import ConfigurationalFreeEnergyBuilder
from sse_screen.builders.convex_hull import ConvexHullBuilder
from sse_screen.builders.diffusivity import DiffusivityBuilder
from sse_screen.builders.jump_barrier import JumpBarrierBuilder
from sse_screen.builders.labelled_structure import LabelledStructureBuilder
from sse_screen.builders.learning_curve import LearningCurveBuilder
from sse_screen.builders.potential import PotentialBuilder
from sse_screen.builders.self_consistent_loop import SelfConsistentLoopBuilder
from sse_screen.builders.site_network import SiteNetworkBuilder
from sse_screen.builders.structure_function import StructureFunctionBuilder
from sse_screen.builders.vibrational_free_energy import VibrationalFreeEnergyBuilder
from sse_screen.exceptions import InputError

#: a builder stands after those whose collections it reads
BUILDERS: tuple[type[DerivedBuilder], ...] = (
    DiffusivityBuilder,
    ActivationEnergyBuilder,
    ConvexHullBuilder,
    CandidateBuilder,
    ConfigurationalFreeEnergyBuilder,
    ConfigurationBuilder,
    VibrationalFreeEnergyBuilder,
    SiteNetworkBuilder,
    JumpBarrierBuilder,
    StructureFunctionBuilder,
    LabelledStructureBuilder,
    PotentialBuilder,
    LearningCurveBuilder,
    SelfConsistentLoopBuilder,
)


def select_builders(collections: list[str] | None = None) -> list[type[DerivedBuilder]]:
    """Give the builders of some collections, in the order in which to run them.

    Parameters
    ----------
    collections : list of str, optional
        Names, with underscores or dashes; all when left out or empty.

    Returns
    -------
    list of type
        Builder classes.

    Raises
    ------
    InputError
        For a name that no builder has; the message lists all.
    """
    known = {builder.document.collection: builder for builder in BUILDERS}
    wanted = {name.replace("-", "_") for name in collections or known}
    if unknown := sorted(wanted - known.keys()):
        raise InputError(f"no builder makes a collection {unknown[0]!r}; there are: {', '.join(known)}")
    return [builder for name, builder in known.items() if name in wanted]
