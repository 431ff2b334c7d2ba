"""A small derived collection for the tests of the generic builder; importable by worker processes."""

import os
import signal
from typing import ClassVar

from sse_screen.builders.base import DerivedBuilder, group_by
from sse_screen.documents.base import DerivedDocument
from sse_screen.exceptions import SseScreenError


class ToyError(SseScreenError):
    """A number was refused."""


class ToyDoc(DerivedDocument):
    """Sum of the numbers of a family."""

    collection: ClassVar[str] = "toy"
    group_fields: ClassVar[tuple[str, ...]] = ("family",)

    family: str
    total: float
    note: str = ""

    @classmethod
    def from_numbers(cls, family, sources, factor=1.0, note_bytes=0):
        total = 0.0
        for source in sources:
            number = source["output"]["number"]
            if number == -666.0:
                os.kill(os.getpid(), signal.SIGKILL)
            if number < 0:
                raise ToyError(f"number of {source['uuid']} is negative")
            total += factor * number
        return cls(id="", family=family, total=total, note="x" * note_bytes)


class ToyBuilder(DerivedBuilder):
    """Build ``toy``."""

    document = ToyDoc
    source_filter: ClassVar = {"output.kind": "toy"}
    used_fields: ClassVar = ("calculation_key", "family", "number")

    def group(self, sources):
        return group_by(({"family": source["output"]["family"]}, source) for source in sources)

    def make(self, key, sources):
        return ToyDoc.from_numbers(key["family"], sources, **self.parameters)


def toy_output(uuid, family, number):
    """Give a jobflow document."""
    output = {"kind": "toy", "calculation_key": f"key-{uuid}", "family": family, "number": number}
    return {"uuid": uuid, "index": 1, "output": output, "metadata": {}, "completed_at": "2026-01-01T00:00:00"}


def insert(database, outputs):
    """Store jobflow documents."""
    database.outputs.insert_many(outputs)
