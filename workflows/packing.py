"""The packed form of a batch: many orderings, or their relaxed cells, in one blob."""

from __future__ import annotations

import json
from typing import Any

import zstandard
from pymatgen.core import Structure

from sse_screen.structures.orderings import Ordering, OrderingSpace, map_to_sites, ordered_structure
from sse_screen.structures.orderings.occupancy import Occupancy


def pack_structures(structures: dict[str, Structure]) -> bytes:
    """Pack structures by id into compressed JSON, the form of a batch in the blob store.

    Parameters
    ----------
    structures : dict
        Structure by id.

    Returns
    -------
    bytes
        zstd-compressed JSON.
    """
    text = json.dumps({key: value.as_dict() for key, value in structures.items()}, sort_keys=True)
    return zstandard.compress(text.encode(), 3)


def unpack_structures(data: bytes) -> dict[str, Structure]:
    """Undo :func:`pack_structures`.

    Parameters
    ----------
    data : bytes
        Packed structures.

    Returns
    -------
    dict
        Structure by id.
    """
    return {key: Structure.from_dict(value) for key, value in json.loads(zstandard.decompress(data)).items()}


def pack_orderings(
    parent: Structure,
    sites: dict[str, dict[str, tuple[int, ...]]],
    occupancy: Occupancy | None = None,
    exclusion_radius_A: float = 0.0,
) -> bytes:
    """Pack orderings of one disordered crystal: the crystal once, and the sites that each ordering takes.

    Parameters
    ----------
    parent : Structure
        The disordered crystal.
    sites : dict
        By ordering id, species to the sites of the crystal that it takes.
    occupancy : mapping, optional
        Numbers of ions of the space they are from.
    exclusion_radius_A : float
        Exclusion radius of that space in ångström.

    Returns
    -------
    bytes
        zstd-compressed JSON.
    """
    space = {"occupancy": occupancy, "exclusion_radius_A": exclusion_radius_A}
    text = json.dumps({"parent": parent.as_dict(), "orderings": sites} | space, sort_keys=True)
    return zstandard.compress(text.encode(), 3)


def unpack_orderings(data: bytes) -> dict[str, Structure]:
    """Build the ordered crystals that :func:`pack_orderings` packed.

    Parameters
    ----------
    data : bytes
        Packed orderings.

    Returns
    -------
    dict
        Ordered crystal by ordering id, sites in the order of the parent, without oxidation states.
    """
    content = json.loads(zstandard.decompress(data))
    parent = Structure.from_dict(content["parent"])
    return {
        name: ordered_structure(parent, sites).remove_oxidation_states()
        for name, sites in content["orderings"].items()
    }


def where_ions_are(packed: bytes, relaxed: dict[str, Structure]) -> dict[str, dict[str, Any]]:
    """Map the ions of relaxed orderings back to sites.

    Parameters
    ----------
    packed : bytes
        From :func:`pack_orderings`.
    relaxed : dict
        Relaxed cell by ordering id.

    Returns
    -------
    dict
        By ordering id, the fields ``n_moved_ions``, ``reached_id`` and ``reached_degeneracy`` of
        :class:`ConfigurationResult`; no id where two ions were nearest to one site, nothing at all where the
        crystal has no choice of sites.
    """
    content = json.loads(zstandard.decompress(packed))
    crystal = Structure.from_dict(content["parent"])
    if crystal.is_ordered:
        return {name: dict.fromkeys(("n_moved_ions", "reached_id", "reached_degeneracy")) for name in relaxed}
    space = OrderingSpace(crystal, content["occupancy"], content["exclusion_radius_A"])
    found = {}
    for name, structure in relaxed.items():
        ordering = Ordering(name, 1, 1.0, content["orderings"][name], parent=space.structure)
        mapping = map_to_sites(space, ordering, structure)
        certain = not mapping.contested
        found[name] = {
            "n_moved_ions": len(mapping.moves),
            "reached_id": mapping.id if certain else None,
            "reached_degeneracy": mapping.degeneracy if certain else None,
        }
    return found
