"""The registry's raw side: potentials of packages, files that users bring, aliases; and finding one again."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ase.data import chemical_symbols

from sse_screen.database.stores import OUTPUTS
from sse_screen.documents.base import Document, PotentialIdentity, content_hash
from sse_screen.documents.potential import PotentialAlias, PotentialDoc, PotentialRegistration, check_alias
from sse_screen.exceptions import InputError
from sse_screen.potentials.mace_calculator import read_mace
from sse_screen.potentials.registry import bundled_models, find_potential, known_potentials

if TYPE_CHECKING:
    from pymongo.database import Database

    from sse_screen.database.blobs import BlobStore

_log = logging.getLogger(__name__)
_NAMESPACE = uuid.UUID("8c1d7f0e-6f0b-4f6e-9d2e-0f3f6a1b7c55")
#: MPtrj holds no structure with these of the first 94 elements (Deng 2023)
_NOT_IN_MPTRJ = {"Po", "At", "Rn", "Fr", "Ra"}
MPTRJ_ELEMENTS = tuple(sorted(set(chemical_symbols[1:95]) - _NOT_IN_MPTRJ))
SUFFIXES = {"chgnet": ".pth.tar", "mace": ".model", "lammps": ".json"}


def known_elements(potential: PotentialIdentity, path: Path) -> list[str]:
    """Give the elements that a potential knows, whether or not labels of all of them were learnt.

    Parameters
    ----------
    potential : PotentialIdentity
        Its ``elements`` count, where they are known.
    path : Path
        Its file; a MACE model tells.

    Returns
    -------
    list of str
        Alphabetical; those of MPtrj for a CHGNet that does not say.
    """
    if potential.elements is not None:
        return potential.elements
    if potential.code == "mace":
        return sorted(chemical_symbols[number] for number in read_mace(path).atomic_numbers.tolist())
    return list(MPTRJ_ELEMENTS)


def register_bundled(database: Database[dict[str, Any]], blobs: BlobStore) -> None:
    """Register the potentials that come with the packages, each once.

    Parameters
    ----------
    database : pymongo Database
        Holds the outputs.
    blobs : BlobStore
        Gets the weights.
    """
    for name in bundled_models():
        found = find_potential(name)
        key = _registration_key(found.identity.weights_sha256)
        if database[OUTPUTS].find_one({"output.calculation_key": key}, {"_id": 1}) is None:
            registration = PotentialRegistration(
                calculation_key=key,
                name=name,
                method="bundled",
                weights=blobs.put_file(found.path, "application/x-torch"),
                potential=found.identity,
                elements=list(MPTRJ_ELEMENTS),
                level_of_theory=found.identity.level_of_theory or "",
            )
            _store(database, key, "potential registration", registration)


def register_file(
    database: Database[dict[str, Any]],
    blobs: BlobStore,
    path: Path,
    name: str,
    elements: Iterable[str],
    level_of_theory: str,
) -> PotentialIdentity:
    """Register a potential that the user brings as a file.

    Parameters
    ----------
    database : pymongo Database
        Holds the outputs.
    blobs : BlobStore
        Gets the weights.
    path : Path
        A CHGNet file, or a MACE model (``.model``).
    name : str
        What to call it.
    elements : iterable of str
        Elements it was trained on.
    level_of_theory : str
        Of its training labels.

    Returns
    -------
    PotentialIdentity
        Who it is.

    Raises
    ------
    InputError
        No such file, one that cannot be loaded, a name that is taken, unknown elements.
    """
    from sse_screen.potentials.loading import load_calculator

    check_alias(name, known_potentials())
    covered = sorted(set(elements))
    if unknown := sorted(set(covered) - set(chemical_symbols[1:])):
        raise InputError(f"elements: {', '.join(unknown)} is no element")
    if not covered:
        raise InputError("elements: say which elements the potential was trained on")
    identity = find_potential(str(path)).identity.model_copy(
        update={"name": name, "level_of_theory": level_of_theory, "elements": covered}
    )
    load_calculator(str(path), device="cpu")  # refuses a damaged file
    key = _registration_key(identity.weights_sha256)
    registration = PotentialRegistration(
        calculation_key=key,
        name=name,
        method="file",
        weights=blobs.put_file(path, "application/x-torch"),
        potential=identity,
        elements=covered,
        level_of_theory=level_of_theory,
    )
    _store(database, key, "potential registration", registration)
    return identity


def set_alias(database: Database[dict[str, Any]], potential: PotentialDoc, alias: str) -> None:
    """Give a potential a name, taking it from the one that had it.

    Parameters
    ----------
    database : pymongo Database
        Holds the outputs.
    potential : PotentialDoc
        What the name is to mean.
    alias : str
        The name.

    Raises
    ------
    InputError
        For a name that means something else.
    """
    check_alias(alias, known_potentials())
    taken = database[PotentialDoc.collection].find_one(
        {"name": alias, "weights_sha256": {"$ne": potential.weights_sha256}}, {"_id": 1}
    )
    if taken is not None:
        raise InputError(f"alias {alias!r}: another potential was trained or registered under this name")
    key = content_hash({"kind": "potential_alias", "alias": alias})
    record = PotentialAlias(
        calculation_key=key, alias=alias, weights=potential.weights, set_at=datetime.now(UTC)
    )
    _store(database, key, "potential alias", record)


def find_registered(database: Database[dict[str, Any]], name: str) -> PotentialDoc:
    """Find a potential in the registry.

    Parameters
    ----------
    database : pymongo Database
        Holds the collection ``potential``.
    name : str
        Name, alias, or at least 8 digits of the hash of its weights.

    Returns
    -------
    PotentialDoc
        The potential.

    Raises
    ------
    InputError
        None of that name, or several.
    """
    by_name: list[dict[str, Any]] = [{"name": name}, {"aliases": name}]
    if re.fullmatch("[0-9a-f]{8,64}", name):
        by_name.append({"weights_sha256": {"$regex": f"^{name}"}})
    query = {"$or": by_name, "deprecated": {"$ne": True}}
    found = list(database[PotentialDoc.collection].find(query, {"_id": 0}))
    if len(found) > 1:
        hashes = ", ".join(sorted(document["weights_sha256"][:12] for document in found))
        raise InputError(f"potential {name!r}: means several ({hashes}); give the hash of one")
    if not found:
        cursor = database[PotentialDoc.collection].find({}, {"_id": 0, "name": 1, "aliases": 1})
        known = sorted({n for document in cursor for n in [document["name"], *document["aliases"]]})
        raise InputError(
            f"potential {name!r}: is not registered; there are {', '.join(known) or 'none'} "
            "(sse-screen build potential registers new ones); used without registration: "
            f"{', '.join(known_potentials())}"
        )
    return PotentialDoc.model_validate(found[0])


def weights_file(blobs: BlobStore, potential: PotentialIdentity, folder: Path) -> Path:
    """Give a registered potential's weights as a file, fetched once and checked each time.

    Parameters
    ----------
    blobs : BlobStore
        Holds the weights.
    potential : PotentialIdentity
        Which one.
    folder : Path
        Cache; made when missing.

    Returns
    -------
    Path
        A file whose sha256 is the potential's.

    Raises
    ------
    BlobNotFoundError, BlobCorruptError
        The store has no such weights, or damaged ones.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sha256 = potential.weights_sha256
    path = folder / (sha256 + SUFFIXES.get(potential.code, ""))
    if path.exists():
        if hashlib.sha256(path.read_bytes()).hexdigest() == sha256:
            return path
        _log.warning("%s: the cached weights are damaged; fetching them again", path)
    mine = path.with_name(f"{os.getpid()}-{path.name}")  # two workers may fetch at the same time
    blobs.get_file(sha256, mine).replace(path)
    return path


def _registration_key(weights_sha256: str) -> str:
    return content_hash({"kind": "potential_registration", "weights": weights_sha256})


def _store(database: Database[dict[str, Any]], key: str, name: str, output: Document) -> None:
    """Store a document as the output of a job with an id of its own, replacing an earlier one."""
    job_id = str(uuid.uuid5(_NAMESPACE, key))
    document = {
        "uuid": job_id,
        "index": 1,
        "name": name,
        "metadata": {},
        "output": output.model_dump(mode="json"),
        "completed_at": datetime.now(UTC).replace(tzinfo=None).isoformat(),
    }
    database[OUTPUTS].replace_one({"uuid": job_id, "index": 1}, document, upsert=True)
