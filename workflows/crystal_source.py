"""Where a crystal of a campaign comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from sse_screen.documents.base import Specification


class Section(Specification):
    """Base of the sections of a campaign file: unknown keys are refused; jobs can carry them."""


class CrystalSource(Section):
    """Where a crystal comes from: the library or a file, and how its disorder is resolved."""

    prototype: str | None = Field(None, description="Name in the library (sse-screen prototypes)")
    file: Path | None = Field(None, description="CIF, POSCAR …; relative paths count from the campaign file")
    name: str | None = Field(None, description="Name in tables; the prototype or file name otherwise")
    substitute: dict[str, dict[str, float]] | None = Field(
        None, description="Elements replaced on their sites, such as {Cl: {Cl: 0.5, Br: 0.5}}"
    )
    repeat: tuple[int, int, int] = Field(
        (1, 1, 1), description="Repeats of the cell along its vectors, before it is ordered or enumerated"
    )
    order: Literal["ewald", "random"] | None = Field(
        None, description="How partial occupancies become one ordered cell; without it they are refused"
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.prototype is None) == (self.file is None):
            raise ValueError("give exactly one of prototype and file")
        if min(self.repeat) < 1:
            raise ValueError("repeat: every number must be 1 or more")
        return self

    @property
    def label(self) -> str:
        """Name in tables and messages."""
        if self.name is not None:
            return self.name
        return self.prototype if self.prototype is not None else Path(str(self.file)).stem
