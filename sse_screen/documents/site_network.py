"""Stored form of the sites of a mobile ion and of its jumps between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self

from pydantic import Field
from pydantic.config import JsonDict

from sse_screen.documents import site_network_parts as parts
from sse_screen.documents.base import (
    BlobReference,
    DerivedDocument,
    Document,
    PotentialIdentity,
    Quantity,
    Verdict,
)
from sse_screen.documents.diffusivity import DynamicsConditions, common_group, mean_over_runs
from sse_screen.documents.molecular_dynamics import MolecularDynamicsOutput
from sse_screen.dynamics.trajectory import Trajectory
from sse_screen.exceptions import InputError
from sse_screen.transport.density import level_enclosing
from sse_screen.transport.density_archive import CONTENT_TYPE
from sse_screen.transport.framework_flow import framework_gate
from sse_screen.transport.jump_statistics import back_jump_fraction, correlation_factor
from sse_screen.transport.jumps import SiteRadii, jump_matrix
from sse_screen.transport.network import graph_order_parameter, superbasins
from sse_screen.transport.site_analysis import SiteAnalysis, SiteOptions, analyse_sites

Store = Callable[[bytes, str], BlobReference]
#: fewer frames, all replicas together, show no density to find sites in
MINIMUM_FRAMES = 20
#: of ions that are more on the way than at sites, jumps between sites tell nothing
_LEAST_TIME_AT_SITES = 0.5
_NUMBER: JsonDict = {"unit": "1"}
_PICOSECONDS: JsonDict = {"unit": "ps"}
_ANGSTROM: JsonDict = {"unit": "angstrom"}


class SiteNetwork(Document):
    """Sites, jumps and their network at one temperature, whatever the trajectories came from."""

    mobile_ion: str = Field(description="Mobile species")
    formula: str = Field(description="Reduced formula")
    temperature_K: float = Field(description="Temperature", gt=0, json_schema_extra={"unit": "K"})
    n_ions: int = Field(description="Mobile ions in the cell", json_schema_extra=_NUMBER)
    verdict: Verdict = Field(
        description="ok; upper_limit: no jump was seen; unresolved: the sites do not describe where the ions "
        "are; refused: the trajectories show no sites, see reasons"
    )
    reasons: list[str] = Field(default_factory=list, description="Why the verdict is not ok")
    n_sites: int = Field(description="Sites in the cell", json_schema_extra=_NUMBER)
    time_at_sites: float | None = Field(
        None, description="Share of their time that the ions are at a site", json_schema_extra=_NUMBER
    )
    n_jumps: int = Field(description="Jumps seen", json_schema_extra=_NUMBER)
    n_replicas: int = Field(description="Trajectories pooled", json_schema_extra=_NUMBER)
    total_time_ps: float = Field(description="Length of all together", json_schema_extra=_PICOSECONDS)
    inner_radius_A: float | None = Field(
        None, description="An ion this close has arrived", json_schema_extra=_ANGSTROM
    )
    outer_radius_A: float | None = Field(
        None, description="An ion this far has left", json_schema_extra=_ANGSTROM
    )
    lattice_A: list[list[float]] = Field(
        default_factory=list, description="Mean cell, rows", json_schema_extra=_ANGSTROM
    )
    site_types: list[parts.SiteTypeSummary] = Field(default_factory=list, description="By type")
    sites: list[parts.SiteSummary] = Field(default_factory=list, description="One by one")
    rates: list[parts.JumpRateSummary] = Field(default_factory=list, description="Between all types of sites")
    edges: list[parts.JumpEdge] = Field(
        default_factory=list, description="Jump matrix, periodic images apart, pairs without jumps left out"
    )
    back_jump_fraction: Quantity = Field(
        description="Share of jumps undone by the next one within back_jump_time_ps",
        json_schema_extra=_NUMBER,
    )
    back_jump_time_ps: float = Field(description="Time to come back", json_schema_extra=_PICOSECONDS)
    correlation_factor: Quantity = Field(
        description="Tracer diffusivity over that of as many independent jumps", json_schema_extra=_NUMBER
    )
    random_walk_diffusivity: Quantity = Field(
        description="That of independent jumps; times the correlation factor it is the tracer's",
        json_schema_extra={"unit": "cm2/s"},
    )
    percolation: parts.Percolation | None = Field(
        None, description="Of the jump network; thresholds in jumps of the weakest edge that is needed"
    )
    superbasins: list[parts.SuperbasinSummary] = Field(default_factory=list, description="Largest first")
    graph_order_parameter: float | None = Field(
        None,
        description="Chapman 2022 with exponent 1 and jump counts as weights; lower is better connected",
        json_schema_extra=_NUMBER,
    )
    graph_order_parameter_cubed: float | None = Field(
        None,
        description="The same with exponent 3, which is inferred, not published: with exponent 1 no "
        "connected network of n sites falls below -ln n, with 3 the values reach those of Grieder 2024",
        json_schema_extra=_NUMBER,
    )
    density: parts.DensitySummary | None = Field(None, description="Probability density")
    migration_barriers: list[parts.MigrationBarrier] = Field(
        default_factory=list, description="Along the smoothed density, lowest first"
    )
    warnings: list[str] = Field(default_factory=list, description="What makes the numbers worth less")

    @classmethod
    def of(
        cls,
        analysis: SiteAnalysis,
        mobile_ion: str,
        temperature_K: float,
        *,
        back_jump_time_ps: float = 2.0,
        isosurface_per_A3: float = 1e-4,
        isosurface_share: float | None = None,
        radii_A: Mapping[str, float] | None = None,
        confidence: float = 0.95,
        store: Store | None = None,
        **more: Any,
    ) -> Self:
        """Turn an analysis into its stored form.

        Parameters
        ----------
        analysis : SiteAnalysis
            Sites and jumps.
        mobile_ion : str
            Mobile species.
        temperature_K : float
            Temperature.
        back_jump_time_ps : float
            Time within which a reversal counts as a back-jump, ps.
        isosurface_per_A3 : float
            Level of the isosurface that is reported.
        isosurface_share : float, optional
            Share of the ions that the isosurface is to enclose, in place of a level.
        radii_A : mapping of str to float, optional
            Radii of the framework's ions for the static volumes; Shannon's if left out.
        confidence : float
            Of all intervals.
        store : callable, optional
            Takes the packed density and its content type to a blob store and gives its reference.
        **more : Any
            Fields of a derived class.

        Returns
        -------
        SiteNetwork
            The document.
        """
        if isosurface_share is not None:
            isosurface_per_A3 = level_enclosing(analysis.smooth_density, isosurface_share)
        values = None if store is None else store(parts.packed_density(analysis), CONTENT_TYPE)
        verdict, reasons = _judged(analysis)
        doubts = reasons if verdict == "unresolved" else []
        return cls(
            mobile_ion=mobile_ion,
            formula=_formula(analysis.species),
            temperature_K=temperature_K,
            verdict=verdict,
            reasons=reasons,
            n_ions=analysis.n_ions,
            n_sites=len(analysis.sites),
            time_at_sites=analysis.time_at_sites,
            n_jumps=len(analysis.jumps),
            n_replicas=analysis.n_trajectories,
            total_time_ps=analysis.n_frames * analysis.time_step_ps,
            inner_radius_A=analysis.radii.inner_A,
            outer_radius_A=analysis.radii.outer_A,
            lattice_A=analysis.sites.cell_A.tolist(),
            site_types=parts.site_type_summaries(analysis, radii_A, confidence),
            sites=parts.site_summaries(analysis),
            rates=parts.rate_summaries(analysis, confidence),
            edges=parts.jump_edges(analysis),
            back_jump_time_ps=back_jump_time_ps,
            **(_doubted(doubts) if doubts else _of_jumps(analysis, back_jump_time_ps, confidence)),
            density=parts.density_summary(analysis, isosurface_per_A3, values),
            migration_barriers=parts.migration_barriers(analysis, temperature_K),
            warnings=[warning for warning in analysis.warnings if warning not in reasons],
            **more,
        )

    @classmethod
    def refused(
        cls,
        trajectories: Sequence[Trajectory],
        mobile_ion: str,
        temperature_K: float,
        reason: str,
        *,
        back_jump_time_ps: float = 2.0,
        **more: Any,
    ) -> Self:
        """Say why there is no network.

        Parameters
        ----------
        trajectories : sequence of Trajectory
            What was looked at.
        mobile_ion : str
            Mobile species.
        temperature_K : float
            Temperature.
        reason : str
            Why they show no sites.
        back_jump_time_ps : float
            Time within which a reversal would have counted as a back-jump, ps.
        **more : Any
            Fields of a derived class.

        Returns
        -------
        SiteNetwork
            The document, its quantities refused for that reason.
        """
        return cls(
            mobile_ion=mobile_ion,
            formula=_formula(trajectories[0].species),
            temperature_K=temperature_K,
            verdict="refused",
            reasons=[reason],
            n_ions=trajectories[0].species.count(mobile_ion),
            n_sites=0,
            n_jumps=0,
            n_replicas=len(trajectories),
            total_time_ps=sum(float(t.times_ps[-1] - t.times_ps[0]) for t in trajectories),
            back_jump_time_ps=back_jump_time_ps,
            **_doubted([reason], "refused"),
            **more,
        )


def _judged(analysis: SiteAnalysis) -> tuple[Verdict, list[str]]:
    """Return whether the sites can be believed and what was seen between them."""
    if analysis.time_at_sites < _LEAST_TIME_AT_SITES:
        share = f"{analysis.time_at_sites:.0%}"
        return "unresolved", [f"ions are at a site only {share} of the time: the sites do not describe them"]
    return ("ok", []) if len(analysis.jumps) else ("upper_limit", ["no jump was seen"])


def _doubted(reasons: list[str], verdict: Verdict = "unresolved") -> dict[str, Quantity]:
    """Return the quantities of the jumps where these mean nothing."""
    units = {"back_jump_fraction": "1", "correlation_factor": "1", "random_walk_diffusivity": "cm2/s"}
    return {name: Quantity(unit=unit, verdict=verdict, reasons=reasons) for name, unit in units.items()}


def _of_jumps(analysis: SiteAnalysis, back_jump_time_ps: float, confidence: float) -> dict[str, Any]:
    """Return what the jumps between the sites say."""
    jumps = analysis.jumps
    back = back_jump_fraction(jumps, back_jump_time_ps / analysis.time_step_ps, confidence)
    factor, _ = correlation_factor(jumps, confidence=confidence)
    counts = jump_matrix(jumps, len(analysis.sites)).astype(float)
    return {
        "back_jump_fraction": parts.quantity_of(back, "1", confidence, "no jump was followed long enough"),
        "correlation_factor": parts.quantity_of(factor, "1", confidence, "fewer than two ions jumped twice"),
        "random_walk_diffusivity": parts.random_walk_diffusivity(analysis, confidence),
        "percolation": parts.network_percolation(analysis),
        "superbasins": [
            parts.SuperbasinSummary(sites=list(b.sites), internal_jumps=b.internal_jumps, escapes=b.escapes)
            for b in superbasins(analysis.network)
        ],
        "graph_order_parameter": graph_order_parameter(counts),
        "graph_order_parameter_cubed": graph_order_parameter(counts, exponent=3),
    }


class SiteNetworkDoc(SiteNetwork, DerivedDocument):
    """Sites and jumps of one material, potential, mobile ion, protocol and temperature, replicas pooled."""

    collection: ClassVar[str] = "site_network"
    meaning_version: ClassVar[str] = "5"
    group_fields: ClassVar[tuple[str, ...]] = (
        "material_id",
        "potential_sha256",
        "mobile_ion",
        "protocol_id",
        "temperature_K",
    )

    material_id: str = Field(description="Hash of the input crystal as submitted")
    material_name: str = Field(description="Name given in the campaign")
    chemical_system: str = Field(description="Elements, alphabetical, joined by -")
    elements: list[str] = Field(description="Elements, alphabetical")
    potential: PotentialIdentity = Field(description="Potential of the dynamics")
    potential_sha256: str = Field(description="sha256 of the potential's weights")
    protocol: DynamicsConditions = Field(description="What the pooled runs share")
    protocol_id: str = Field(description="Hash of these conditions")
    mean_temperature_K: float = Field(description="Measured, over all runs", json_schema_extra={"unit": "K"})

    @classmethod
    def from_trajectories(
        cls,
        outputs: Sequence[MolecularDynamicsOutput],
        trajectories: Sequence[Trajectory],
        *,
        back_jump_time_ps: float = 2.0,
        isosurface_per_A3: float = 1e-4,
        isosurface_share: float | None = None,
        radii_A: Mapping[str, float] | None = None,
        confidence: float = 0.95,
        store: Store | None = None,
        **options: Any,
    ) -> Self:
        """Pool replicas and find sites and jumps; the starting structure gives the host sites.

        Trajectories that show no sites give a refused document with the reason.

        Parameters
        ----------
        outputs : sequence of MolecularDynamicsOutput
            The runs, all of one group.
        trajectories : sequence of Trajectory
            Their production parts, in the same order.
        back_jump_time_ps : float
            Time within which a reversal counts as a back-jump, ps.
        isosurface_per_A3 : float
            Level of the isosurface that is reported.
        isosurface_share : float, optional
            Share of the ions that the isosurface is to enclose, in place of a level.
        radii_A : mapping of str to float, optional
            Radii of the framework's ions for the static volumes.
        confidence : float
            Of all intervals.
        store : callable, optional
            As in :meth:`SiteNetwork.of`.
        **options : Any
            Fields of :class:`~sse_screen.transport.site_analysis.SiteOptions`, ``radii`` as [inner, outer].

        Returns
        -------
        SiteNetworkDoc
            The document, without build metadata.

        Raises
        ------
        InputError
            When the runs do not belong together, or an option is no valid one.
        """
        from pymatgen.core import Structure

        group = common_group(outputs)
        first = outputs[0]
        common: dict[str, Any] = {
            **group,
            **first.model_dump(include={"material_name", "chemical_system", "elements"}),
            "id": cls.id_of(group),
            "mean_temperature_K": mean_over_runs(outputs, [run.mean_temperature_K for run in outputs]),
            "potential": first.potential,
            "protocol": DynamicsConditions.of(first),
            "back_jump_time_ps": back_jump_time_ps,
        }
        if options.get("radii") is not None:
            options["radii"] = SiteRadii(*options["radii"])
        chosen = SiteOptions(**options)
        if reason := why_no_sites(trajectories, first.mobile_ion):
            return cls.refused(trajectories, reason=reason, **common)
        structure = Structure.from_dict(first.structure)
        try:
            analysis = analyse_sites(trajectories, first.mobile_ion, structure=structure, options=chosen)
        except InputError as error:
            return cls.refused(trajectories, reason=str(error), **common)
        return cls.of(
            analysis,
            isosurface_per_A3=isosurface_per_A3,
            isosurface_share=isosurface_share,
            radii_A=radii_A,
            confidence=confidence,
            store=store,
            **common,
        )


def _formula(species: Sequence[str]) -> str:
    from pymatgen.core import Composition

    return Composition(Counter(species)).reduced_formula


def why_no_sites(
    trajectories: Sequence[Trajectory], mobile_ion: str, framework_species: Sequence[str] | None = None
) -> str | None:
    """Say why trajectories cannot show sites.

    Parameters
    ----------
    trajectories : sequence of Trajectory
        Replicas of one cell.
    mobile_ion : str
        Mobile species.
    framework_species : sequence of str, optional
        Species held still; all others than the mobile ion if left out.

    Returns
    -------
    str or None
        Too few frames, or a framework that flows; None if neither.
    """
    if (n_frames := sum(map(len, trajectories))) < MINIMUM_FRAMES:
        return f"{n_frames} frames are too few; sites need at least {MINIMUM_FRAMES}"
    gate = framework_gate(trajectories, mobile_ion, framework_species)
    if gate is None or gate.outcome != "refused":
        return None
    return f"{gate.message}; what flows has no sites"
