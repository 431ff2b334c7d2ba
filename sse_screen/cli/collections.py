"""`sse-screen collections`: the reference of collections and fields."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sse_screen.exceptions import InputError

EPILOG = (
    "Examples: [bold]sse-screen collections[/bold] prints it; "
    "[bold]sse-screen collections --write docs/collections.md[/bold] writes it."
)


def collections(
    write: Annotated[Path | None, typer.Option(help="Write to this file instead.")] = None,
) -> None:
    """Print all collections with their fields, units and meanings, as Markdown."""
    from sse_screen.database.served import served_collections
    from sse_screen.documents.reference import collections_reference

    text = collections_reference([found.document for found in served_collections().values()])
    if write is None:
        typer.echo(text)
        return
    try:
        write.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"--write {write}: cannot be written ({error.strerror})") from None
    typer.echo(f"wrote {write}", err=True)
