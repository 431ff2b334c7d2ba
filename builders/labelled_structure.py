"""Builder of labelled structures from the batches in which they were labelled."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

from sse_screen.builders.base import DerivedBuilder, Group, group_by
from sse_screen.database.blobs import BlobStore
from sse_screen.documents.label import Label, unpack_labels
from sse_screen.documents.labelled_structure import LabelledStructureDoc


class LabelledStructureBuilder(DerivedBuilder):
    """Build ``labelled_structure``: one document a label, whatever the batches that hold it."""

    document = LabelledStructureDoc
    source_filter: ClassVar[dict[str, Any]] = {"output.kind": "label_batch"}
    used_fields: ClassVar[tuple[str, ...]] = ("calculation_key", "labels", "packed")

    def __init__(self, parameters: dict[str, Any] | None = None, chunk_size: int = 20):
        super().__init__(parameters, chunk_size)
        self._unpacked: tuple[str, dict[str, Label]] = ("", {})

    def get_items(self) -> Iterator[dict[str, Any]]:
        """Give the labels of a batch one after the other, so that it is unpacked once."""
        yield from sorted(super().get_items(), key=lambda item: item["sources"])

    def group(self, sources: list[dict[str, Any]]) -> Iterable[Group]:
        """Give every label its own document; batches that share one are its members."""
        return group_by(
            ({"label_sha256": label["label_sha256"]}, source)
            for source in sources
            for label in source["output"]["labels"]
        )

    def make(self, key: dict[str, Any], sources: list[dict[str, Any]]) -> LabelledStructureDoc:
        """Take one label out of its batches, with what each says of its parent."""
        blobs = [source["output"]["packed"]["sha256"] for source in sources]
        return LabelledStructureDoc.from_labels([self._labels(blob)[key["label_sha256"]] for blob in blobs])

    def _labels(self, blob: str) -> dict[str, Label]:
        """Unpack a batch; the last one is kept, since its labels are built one after the other."""
        if self._unpacked[0] != blob:
            labels = unpack_labels(BlobStore(self.database).get(blob))
            self._unpacked = blob, {label.label_sha256: label for label in labels}
        return self._unpacked[1]
