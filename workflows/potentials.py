"""Potentials of campaigns and jobs: by name, alias, hash or file, checked before and after loading."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from sse_screen.database.errors import BlobNotFoundError
from sse_screen.database.stores import connect
from sse_screen.documents.base import PotentialIdentity
from sse_screen.exceptions import InfrastructureError, InputError
from sse_screen.potentials.classical import is_classical, load_classical
from sse_screen.potentials.registration import find_registered, weights_file
from sse_screen.potentials.registry import known_potentials, resolve_potential
from sse_screen.settings import get_settings

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from sse_screen.database.blobs import BlobStore
    from sse_screen.documents.potential import PotentialDoc

_REFUSED = {
    "failed": "did not pass the gates ({gates})",
    "not_checked": "was not checked by the gates",
}


def choose_potential(name: str, *, allow_unchecked: bool = False) -> PotentialIdentity:
    """Say who the potential of a campaign is.

    Parameters
    ----------
    name : str
        Name of a potential that comes with the platform; name, alias or hash (8 digits at least) of one in
        the registry; or a file.
    allow_unchecked : bool
        Take one that did not pass the gates.

    Returns
    -------
    PotentialIdentity
        With the hash that every job checks.

    Raises
    ------
    InputError
        None of that name, or one that may not be used in production.
    """
    if name in known_potentials() or is_classical(name):
        return resolve_potential(name)
    if Path(name).expanduser().is_file():
        if not allow_unchecked and not _is_checked_file(name):
            raise InputError(
                f"potential {name!r}: a file that no gates were run on; `sse-screen potential add` registers "
                "it and `sse-screen potential check` runs them, or set allow_unchecked_potential: true"
            )
        return resolve_potential(name)
    try:
        settings = get_settings()
        database = connect(settings)
    except InfrastructureError as error:
        raise InputError(
            f"potential {name!r}: neither a known name ({', '.join(known_potentials())}) nor a file, and the "
            f"registry cannot be asked: {error}"
        ) from None
    try:
        found = find_registered(database, name)
    finally:
        database.client.close()
    if not allow_unchecked:
        _check_production(found, name)
    return found.potential.model_copy(update={"name": name, "elements": found.elements})


def from_file(name: str, folder: Path) -> str:
    """Give a potential that a file names, a relative path counted from the folder of that file.

    Parameters
    ----------
    name : str
        Name, alias, hash or path.
    folder : Path
        Of the campaign's or loop's file.

    Returns
    -------
    str
        An absolute path where a file is meant, the name as it is otherwise.
    """
    if name in known_potentials():
        return name
    path = folder / Path(name).expanduser()
    meant = path.is_file() or is_classical(name) or Path(name).name != name
    return str(path.resolve()) if meant else name


def store_potential(potential: PotentialIdentity, blobs: BlobStore) -> None:
    """Put the file of a potential into the blob store, where workers on every machine find it by its hash.

    Parameters
    ----------
    potential : PotentialIdentity
        As resolved at submission; of one that is no file here, nothing has to be stored.
    blobs : BlobStore
        Gets the weights, or the numbers of a classical potential.
    """
    name = potential.name
    if name in known_potentials() or not Path(name).expanduser().is_file():
        return
    if is_classical(name):
        stored = blobs.put(load_classical(name).canonical_bytes, "application/json")
    else:
        stored = blobs.put_file(Path(name).expanduser(), "application/x-torch")
    if stored.sha256 != potential.weights_sha256:
        raise InputError(f"potential {name!r}: the file was changed meanwhile; submit again")


def check_covered(structure: Structure, potential: PotentialIdentity, name: str) -> None:
    """Refuse a crystal with elements that a potential was not trained on.

    Parameters
    ----------
    structure : Structure
        The crystal.
    potential : PotentialIdentity
        Its ``elements`` count, where they are known.
    name : str
        Of the crystal, for the message.

    Raises
    ------
    InputError
        Naming the elements.
    """
    check_elements((element.symbol for element in structure.composition.elements), potential, name)


def check_elements(elements: Iterable[str], potential: PotentialIdentity, name: str) -> None:
    """Refuse elements that a potential was not trained on.

    Parameters
    ----------
    elements : iterable of str
        Symbols.
    potential : PotentialIdentity
        Its ``elements`` count, where they are known.
    name : str
        Of what has the elements, for the message.

    Raises
    ------
    InputError
        Naming the elements.
    """
    if potential.elements is None:
        return
    if missing := sorted(set(elements) - set(potential.elements)):
        raise InputError(
            f"{name}: the potential {potential.name!r} was not trained on {', '.join(missing)}; it covers "
            f"{', '.join(potential.elements)}"
        )


def name_or_file(potential: PotentialIdentity, blobs: BlobStore) -> str:
    """Give what loads a potential on this machine, checked against the hash that was asked for.

    Parameters
    ----------
    potential : PotentialIdentity
        As resolved at submission.
    blobs : BlobStore
        Holds the weights of registered potentials.

    Returns
    -------
    str
        Name or path for :func:`sse_screen.potentials.load_calculator`.

    Raises
    ------
    InputError
        This machine has other weights under the name, or none.
    BlobCorruptError
        The stored weights are damaged.
    """
    name = potential.name
    is_known = name in known_potentials()
    if is_known or Path(name).expanduser().is_file():
        found = resolve_potential(name)
        if found.weights_sha256 == potential.weights_sha256:
            return name
        if is_known:
            raise InputError(
                f"potential {name!r}: this worker has weights {found.weights_sha256[:12]}…, the job was "
                f"submitted with {potential.weights_sha256[:12]}…; install the same version on all machines"
            )
    try:
        return str(weights_file(blobs, potential, get_settings().data_directory / "potentials"))
    except BlobNotFoundError:
        raise InputError(
            f"potential {name!r}: no file here, and its weights {potential.weights_sha256[:12]}… are not in "
            "the blob store"
        ) from None


def _check_production(potential: PotentialDoc, name: str) -> None:
    if potential.gate_verdict in ("passed", "published"):
        return
    failed = ", ".join(gate.gate for gate in potential.gates if not gate.passed)
    raise InputError(
        f"potential {name!r} ({potential.weights_sha256[:12]}…) "
        + _REFUSED[potential.gate_verdict].format(gates=failed)
        + f"; run `sse-screen potential check {name}`, or set allow_unchecked_potential: true to use it so"
    )


def _is_checked_file(name: str) -> bool:
    """Whether the file's weights are registered and passed the gates."""
    try:
        database = connect(get_settings())
    except InfrastructureError:
        return False
    try:
        found = find_registered(database, resolve_potential(name).weights_sha256)
        _check_production(found, name)
    except InputError:
        return False
    finally:
        database.client.close()
    return True
