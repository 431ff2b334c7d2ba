"""Builder of configurational free energies from batches of relaxed orderings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, get_args

from sse_screen.builders.base import DerivedBuilder, Group
from sse_screen.database.blobs import BlobStore
from sse_screen.documents.base import PotentialIdentity
from sse_screen.documents.configurational_free_energy import ConfigurationalFreeEnergyDoc
from sse_screen.documents.configurational_free_energy_parts import ConfigurationEnergy
from sse_screen.documents.relaxation import cell_formula, relaxation_level
from sse_screen.documents.vibration_batch import unpack_documents
from sse_screen.documents.vibrational_free_energy import VibrationalFreeEnergyDoc
from sse_screen.exceptions import InputError
from sse_screen.structures.orderings import merge_relaxed
from sse_screen.thermodynamics.partition_function import Convention
from sse_screen.thermodynamics.sampling_error import noise_from_repeats
from sse_screen.thermodynamics.vibrations import DensityOfStates, harmonic_thermodynamics

Parent = tuple[str, str, str]


class ConfigurationalFreeEnergyBuilder(DerivedBuilder):
    """Build ``configurational_free_energy``: one document a parent, class, level of theory and temperature.

    All batches of a parent are merged, each ordering counted once. Parameters are the keyword arguments of
    :meth:`ConfigurationalFreeEnergyDoc.from_configurations`: ``noise_eV_per_cell``, ``seed``; the noise of
    free energies with vibrations is estimated from runs at other temperatures where it is not given. Both
    conventions are always built, side by side.
    """

    document = ConfigurationalFreeEnergyDoc
    source_filter: ClassVar[dict[str, Any]] = {
        "output.kind": {"$in": ["configuration_batch", "vibration_batch"]}
    }
    used_fields: ClassVar[tuple[str, ...]] = (
        "kind",
        "calculation_key",
        "parent_id",
        "parent_name",
        "occupancy_class",
        "potential",
        "protocol",
    )
    optional_fields: ClassVar[tuple[str, ...]] = (
        "formula",
        "n_atoms",
        "n_labelled_total",
        "n_unique_total",
        "sampled",
        "temperatures_K",
        "configurations",
        "relaxation_level",
        "results",
        "documents",
    )

    def group(self, sources: list[dict[str, Any]]) -> Iterable[Group]:
        """Merge the batches of each parent at every temperature; again with vibrations if they were run."""
        parents: dict[Parent, list[dict[str, Any]]] = {}
        vibrations: dict[Parent, list[dict[str, Any]]] = {}
        for source in sources:
            output = source["output"]
            with_vibrations = output["kind"] == "vibration_batch"
            level = output["relaxation_level"] if with_vibrations else relaxation_level(output)
            parent = (output["parent_id"], output["occupancy_class"], level)
            (vibrations if with_vibrations else parents).setdefault(parent, []).append(source)
        for parent, members in parents.items():
            runs = vibrations.get(parent, [])
            asked = {t for member in members for t in member["output"]["temperatures_K"]}
            run_at = {r["temperature_K"] for run in runs for r in run["output"]["results"] if r["usable"]}
            for convention in get_args(Convention):
                for temperature_K in sorted(asked):
                    yield Group(_key(parent, temperature_K, convention, with_vibrations=False), members)
                for temperature_K in sorted(run_at):
                    yield Group(_key(parent, temperature_K, convention, with_vibrations=True), members + runs)

    def make(self, key: dict[str, Any], sources: list[dict[str, Any]]) -> ConfigurationalFreeEnergyDoc:
        """Sum over the orderings of one group."""
        everything = [source["output"] for source in sources]
        outputs = [output for output in everything if output["kind"] == "configuration_batch"]
        first = outputs[0]
        _check_alike(outputs, key["occupancy_class"])
        relaxed = {
            found["configuration_id"]: found
            for output in outputs
            for found in output["configurations"]
            if found["converged"]
        }
        orderings = {name: _ordering(name, found) for name, found in relaxed.items()}
        runs = {}
        if key["with_vibrations"]:
            runs = _runs_at(key["temperature_K"], everything)
            orderings = {
                name: ordering.model_copy(update=_vibrations(runs[name]))
                for name, ordering in orderings.items()
                if name in runs and runs[name]["usable"]
            }
        sampled = any(output["sampled"] for output in outputs)
        found_labelled = sum(ordering.degeneracy for ordering in orderings.values())
        complete = not sampled and round(found_labelled) == first["n_labelled_total"]
        missing = first["n_unique_total"] - len(orderings)
        orderings, moved = _one_a_basin(orderings, relaxed, sampled=sampled)
        kept = sum(ordering.degeneracy for ordering in orderings.values()) / found_labelled if moved else 1
        # The published convention counts every symmetry-unique ordering once.
        total = "n_unique_total" if key["convention"] == "per_atom" else "n_labelled_total"
        parameters = dict(self.parameters)
        if key["with_vibrations"] and "noise_eV_per_cell" not in parameters:
            parameters["noise_eV_per_cell"] = self._noise(key["temperature_K"], everything, set(orderings))
        document = ConfigurationalFreeEnergyDoc.from_configurations(
            list(orderings.values()),
            parent=key["parent"],
            occupancy_class=key["occupancy_class"],
            cell_formula=cell_formula(first["formula"], first["n_atoms"]),
            temperature_K=key["temperature_K"],
            with_vibrations=key["with_vibrations"],
            potential=PotentialIdentity.model_validate(first["potential"]),
            level_of_theory=key["level_of_theory"],
            total_orderings=None if complete else first[total] * kept,
            convention=key["convention"],
            densities=self._densities(key["temperature_K"], everything) if key["with_vibrations"] else None,
            **parameters,
        )
        warnings = list(document.warnings) + moved + _left_out(runs)
        if missing > 0 and not sampled:
            warnings.append(
                f"{missing} of {first['n_unique_total']} orderings are missing (not converged, failed or not "
                "yet run); the others were taken as a random sample of all"
            )
        times = {
            "mean_relaxation_time_s": _mean_time(relaxed.values()),
            "mean_run_time_s": _mean_time(runs.values()),
        }
        return document.model_copy(
            update={"parent_name": first["parent_name"], "warnings": warnings, **times}
        )

    def _densities(
        self, temperature_K: float, outputs: list[dict[str, Any]]
    ) -> Iterator[tuple[str, DensityOfStates]]:
        """Give the density of states of every run at a temperature."""
        for result, document in self._documents(outputs):
            if result["temperature_K"] == temperature_K:
                yield result["configuration_id"], document.density

    def _noise(self, temperature_K: float, outputs: list[dict[str, Any]], names: set[str]) -> float | None:
        """Estimate the error of one F_i from what runs at another temperature say of the same orderings.

        In a harmonic crystal runs of all temperatures have one density of states; what they differ by beside
        a common shift is that a short run does not share its energy equally among the modes.
        """
        other = {r["temperature_K"] for o in outputs if o["kind"] == "vibration_batch" for r in o["results"]}
        nearest = min(other - {temperature_K}, key=lambda t: abs(t - temperature_K), default=None)
        found: dict[float, dict[str, float]] = {temperature_K: {}}
        if nearest is None:
            return None
        found[nearest] = {}
        for result, document in self._documents(outputs):
            name, run_at = result["configuration_id"], result["temperature_K"]
            if name in names and run_at in found and result["usable"]:
                found[run_at][name] = harmonic_thermodynamics(document.density, temperature_K).free_energy_eV
        both = sorted(found[temperature_K].keys() & found[nearest].keys())
        return noise_from_repeats([found[temperature_K][n] for n in both], [found[nearest][n] for n in both])

    def _documents(
        self, outputs: list[dict[str, Any]]
    ) -> Iterator[tuple[dict[str, Any], VibrationalFreeEnergyDoc]]:
        """Give every run's result and document once, batch after batch."""
        seen: set[tuple[str, float]] = set()
        for output in outputs:
            if output["kind"] != "vibration_batch":
                continue
            lines = unpack_documents(BlobStore(self.database).get(output["documents"]["sha256"]))
            numbered = [r for r in output["results"] if r["free_energy_eV_per_cell"] is not None]
            for result, line in zip(numbered, lines, strict=True):
                run = (result["configuration_id"], result["temperature_K"])
                if run not in seen:
                    seen.add(run)
                    yield result, VibrationalFreeEnergyDoc.model_validate_json(line)


def _key(parent: Parent, temperature_K: float, convention: str, *, with_vibrations: bool) -> dict[str, Any]:
    return {
        "parent": parent[0],
        "occupancy_class": parent[1],
        "level_of_theory": parent[2],
        "temperature_K": temperature_K,
        "convention": convention,
        "with_vibrations": with_vibrations,
    }


def _mean_time(results: Iterable[dict[str, Any]]) -> float | None:
    times = [found["total_time_s"] for found in results if found.get("total_time_s") is not None]
    return sum(times) / len(times) if times else None


def _one_a_basin(
    orderings: dict[str, ConfigurationEnergy], relaxed: dict[str, dict[str, Any]], *, sampled: bool
) -> tuple[dict[str, ConfigurationEnergy], list[str]]:
    """Count every basin once, where a relaxation carried ions to other sites; tell what was merged.

    In a list of orderings, those that reached one ordering are merged: the lowest of them is kept with the
    degeneracy of the ordering that was reached. A sample does not hold most of the orderings that are
    reached; it stays unbiased when those that left their basin are left out, and with them their share of the
    labelled orderings. What ended outside the space, or was not mapped, is counted as it is.
    """
    reached = {name: relaxed[name].get("reached_id") for name in orderings}
    left = {name for name, now in reached.items() if now is not None and now != name}
    outside = [n for n in orderings if reached[n] is None and relaxed[n].get("n_moved_ions") is not None]
    warnings = []
    if outside:
        warnings.append(
            f"{len(outside)} of {len(orderings)} orderings relaxed to places that are no ordering of this "
            "class, or are in doubt, and were counted as they are"
        )
    if not left:
        return orderings, warnings
    names = list(orderings)
    basins = merge_relaxed(
        [reached[name] or name for name in names], [_energy(orderings[name]) for name in names]
    )
    if sampled:
        merged = {name: ordering for name, ordering in orderings.items() if name not in left}
        what = "were left out of the sample"
    else:
        merged = {
            basin: orderings[names[number]].model_copy(
                update={"degeneracy": relaxed[names[number]]["reached_degeneracy"]}
                if names[number] in left
                else {}
            )
            for basin, number in basins.items()
        }
        what = f"were merged with those, {len(names) - len(merged)} duplicates"
    warnings.append(
        f"the ions of {len(left)} of {len(names)} orderings relaxed to the sites of other orderings; "
        f"they {what}"
    )
    return merged, warnings


def _energy(ordering: ConfigurationEnergy) -> float:
    """Give what orders the cells of one basin: the free energy where there is one."""
    free_energy = ordering.free_energy_eV_per_cell
    return ordering.energy_eV_per_cell if free_energy is None else free_energy


def _ordering(name: str, relaxed: dict[str, Any]) -> ConfigurationEnergy:
    return ConfigurationEnergy(
        configuration_id=name,
        energy_eV_per_cell=relaxed["energy_eV_per_cell"],
        degeneracy=relaxed["weight"],
    )


def _runs_at(temperature_K: float, outputs: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        result["configuration_id"]: result
        for output in outputs
        if output["kind"] == "vibration_batch"
        for result in output["results"]
        if result["temperature_K"] == temperature_K
    }


def _vibrations(run: dict[str, Any]) -> dict[str, Any]:
    return {name: run[name] for name in ("free_energy_eV_per_cell", "entropy_eV_per_K_per_cell")}


def _check_alike(outputs: list[dict[str, Any]], occupancy_class: str) -> None:
    """Refuse batches of one parent and class whose cells differ."""
    for name in ("formula", "n_atoms", "n_labelled_total", "n_unique_total"):
        if len({output[name] for output in outputs}) > 1:
            raise InputError(
                f"{outputs[0]['parent_name']}: batches of {occupancy_class} differ in {name}; cells of one "
                "parent and class must be the same"
            )


def _left_out(runs: dict[str, dict[str, Any]]) -> list[str]:
    """Say which runs were not used and why."""
    flagged = sorted({flag for run in runs.values() if not run["usable"] for flag in run["flags"]})
    if not flagged:
        return []
    n_flagged = sum(not run["usable"] for run in runs.values())
    return [f"{n_flagged} of {len(runs)} runs were left out: {'; '.join(flagged[:5])}"]
