"""What builders of documents over temperatures share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from sse_screen.builders.base import DerivedBuilder, Group, group_by
from sse_screen.documents.base import DerivedDocument


class TemperatureSeriesBuilder(DerivedBuilder):
    """One document a material, potential, mobile ion and protocol, from one source document a temperature."""

    source_filter: ClassVar[dict[str, Any]] = {"deprecated": False}

    def group(self, sources: list[dict[str, Any]]) -> Iterable[Group]:
        """Gather the temperatures of each material and protocol."""
        names = self.document.group_fields
        return group_by(({name: source[name] for name in names}, source) for source in sources)


def fields_of(document: type[DerivedDocument], not_used: set[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Tell which fields of a source document are hashed and which are only fetched.

    Parameters
    ----------
    document : type
        Class of the source documents.
    not_used : set of str
        Fields that the fit does not depend on.

    Returns
    -------
    used, extra : tuple of str
        ``used_fields`` and ``extra_fields`` of the builder.
    """
    extra = (set(DerivedDocument.model_fields) - {"id", "stale"}) | not_used
    return tuple(name for name in document.model_fields if name not in extra), tuple(sorted(extra))
