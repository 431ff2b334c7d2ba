"""Builder of the candidates of surveys."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from sse_screen.builders.base import DerivedBuilder, Group
from sse_screen.database.stores import OUTPUTS
from sse_screen.documents.activation_energy import ActivationEnergyDoc
from sse_screen.documents.base import InputReference, PotentialIdentity, content_hash
from sse_screen.documents.candidate import CandidateDoc
from sse_screen.documents.convex_hull import ConvexHullDoc
from sse_screen.documents.survey import SurveyCrystal, SurveyDecisionOutput

Json = dict[str, Any]
_FIT = ("activation_energy", "conductivity_300K")
_OF_SURVEY = ("survey", "mobile_ion", "charge_number", "potential")


class CandidateBuilder(DerivedBuilder):
    """Build ``candidate``: one document a crystal of a survey, those that filters refused among them.

    To be run after the builders of ``activation_energy`` and ``convex_hull``, whose documents are inputs
    beside the outputs of the survey's own jobs. Of two submissions of one survey the later counts.
    """

    document = CandidateDoc
    source_filter: ClassVar[Json] = {"output.kind": {"$in": ["survey", "survey_decision"]}}
    used_fields: ClassVar[tuple[str, ...]] = ("kind", "calculation_key", "survey")
    optional_fields: ClassVar[tuple[str, ...]] = tuple(
        dict.fromkeys(
            (
                *("crystals", "mobile_ion", "charge_number", "potential"),
                *(name for name in SurveyDecisionOutput.model_fields if name not in ("kind", "inputs")),
            )
        )
    )

    def read_sources(
        self, query: Json, extra_fields: Iterable[str] = ()
    ) -> tuple[list[Json], dict[str, str]]:
        """Read surveys and decisions, and with them the fits and hulls of their crystals.

        Parameters
        ----------
        query : dict
            Which sources; all, or those of some ids.
        extra_fields : iterable of str
            Fields to fetch beside those that are hashed.

        Returns
        -------
        tuple
            The sources, and what is wrong with others, by their ids.
        """
        sources, faults = super().read_sources(query, extra_fields)
        chosen = {"deprecated": False} | ({"id": query["uuid"]} if "uuid" in query else {})
        for document, fields in (
            (ActivationEnergyDoc, _FIT),
            (ConvexHullDoc, ("potential", "entries.entry_id", "entries.energy_above_hull_eV_per_atom")),
        ):
            shown = {"_id": 0, "id": 1, **dict.fromkeys(fields, 1)}
            for found in self.database[document.collection].find(chosen, shown):
                self._hashes[found["id"]] = content_hash(found)
                sources.append({"id": found["id"], "collection": document.collection, "output": found})
        return sources, faults

    def references(self, sources: list[Json]) -> list[InputReference]:
        """Name sources of three collections with the hashes of what is used of them.

        Parameters
        ----------
        sources : list of dict
            From :meth:`read_sources`.

        Returns
        -------
        list of InputReference
            In the same order.
        """
        return [
            InputReference.model_construct(
                collection=source.get("collection", OUTPUTS),
                id=self._id_of(source),
                content_sha256=self._hashes[self._id_of(source)],
            )
            for source in sources
        ]

    def group(self, sources: list[Json]) -> Iterable[Group]:
        """Give every crystal of every survey its record, decisions, fit and hull."""
        records, decisions, fits, hulls = _sorted(sources)
        for record in records.values():
            survey = record["output"]
            weights = survey["potential"]["weights_sha256"]
            for crystal in survey["crystals"]:
                key = {"survey": survey["survey"], "material_name": crystal["name"]}
                own = decisions.get((survey["survey"], crystal["name"], crystal["material_id"]), [])
                members = [record, *own]
                if (fit := fits.get(_fit_id(survey, own))) is not None:
                    members.append(fit)
                if (hull := hulls.get((crystal["material_id"], weights))) is not None:
                    members.append(hull)
                yield Group(key, members)

    def make(self, key: Json, sources: list[Json]) -> CandidateDoc:
        """Put one candidate together."""
        records, decisions, fits, hulls = _sorted(sources)
        survey = records[key["survey"]]["output"]
        crystal = next(c for c in survey["crystals"] if c["name"] == key["material_name"])
        own = decisions.get((key["survey"], crystal["name"], crystal["material_id"]), [])
        fit = fits.get(_fit_id(survey, own))
        placed = hulls.get((crystal["material_id"], survey["potential"]["weights_sha256"]))
        hull = None if placed is None else (placed["id"], _distance(placed["output"], crystal["material_id"]))
        return CandidateDoc.from_decisions(
            SurveyCrystal.model_validate(crystal),
            [SurveyDecisionOutput.model_validate(decision["output"]) for decision in own],
            **{name: survey[name] for name in _OF_SURVEY if name != "potential"},
            potential=PotentialIdentity.model_validate(survey["potential"]),
            fit=None if fit is None else fit["output"],
            hull=hull,
        )

    def _id_of(self, source: Json) -> str:
        found: str = source["uuid"] if "uuid" in source else source["id"]
        return found


def _sorted(
    sources: list[Json],
) -> tuple[
    dict[str, Json], dict[tuple[str, str, str | None], list[Json]], dict[str | None, Json], dict[Any, Json]
]:
    """Sort sources: latest record by survey, decisions in order by crystal, fits by id, hulls by crystal."""
    records: dict[str, Json] = {}
    decisions: dict[tuple[str, str, str | None], dict[tuple[int, bool], Json]] = {}
    fits: dict[str | None, Json] = {}
    hulls: dict[Any, Json] = {}
    for source in sorted(sources, key=lambda found: str(found.get("completed_at"))):
        output = source["output"]
        if source.get("collection") == ActivationEnergyDoc.collection:
            fits[source["id"]] = source
        elif source.get("collection") == ConvexHullDoc.collection:
            weights = (output.get("potential") or {}).get("weights_sha256")
            for entry in output["entries"]:
                hulls[entry["entry_id"], weights] = source
        elif output["kind"] == "survey":
            records[output["survey"]] = source
        else:
            crystal = (output["survey"], output["material_name"], output["material_id"])
            step = (output["tier"], output["action"] == "over_budget")
            decisions.setdefault(crystal, {})[step] = source  # of one step judged again, the later counts
    return records, {c: [steps[s] for s in sorted(steps)] for c, steps in decisions.items()}, fits, hulls


def _fit_id(survey: Json, decisions: list[Json]) -> str | None:
    """Give the id of the fit over the runs of the last tier that had any."""
    judged = [d["output"] for d in decisions if d["output"].get("protocol_id") is not None]
    if not judged:
        return None
    return ActivationEnergyDoc.id_of(
        {
            "material_id": judged[-1]["material_id"],
            "potential_sha256": survey["potential"]["weights_sha256"],
            "mobile_ion": survey["mobile_ion"],
            "protocol_id": judged[-1]["protocol_id"],
        }
    )


def _distance(hull: Json, material_id: str) -> float:
    return float(
        min(e["energy_above_hull_eV_per_atom"] for e in hull["entries"] if e["entry_id"] == material_id)
    )
