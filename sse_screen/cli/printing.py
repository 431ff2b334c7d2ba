"""Rows for people: a table where its words fit the terminal, a line a field where they do not."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from sse_screen.documents.base import Quantity

#: a column of sentences is readable from this width on
_SENTENCE_WIDTH = 24
#: a border and a blank on either side of a cell
_CELL_EXTRA = 3


def counted(number: int, noun: str) -> str:
    """Write a number of things.

    Parameters
    ----------
    number : int
        How many.
    noun : str
        One of them; more get an s.

    Returns
    -------
    str
        Such as ``1 job`` and ``2 jobs``.
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def print_rows(
    console: Console,
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    sentences: Collection[str] = (),
) -> None:
    """Print rows so that no word is broken at the terminal's width.

    Parameters
    ----------
    console : Console
        Where to print.
    title : str
        What they are.
    columns : sequence of str
        Heads; a line break in one is kept.
    rows : sequence of sequence of str
        Cells, one a column.
    sentences : collection of str
        Heads of columns that may be wrapped at words.
    """
    from rich.table import Table
    from rich.text import Text

    cells = list(zip(columns, *rows, strict=True))
    needed = sum(_width(column, column[0] in sentences) + _CELL_EXTRA for column in cells) + 1
    if needed > console.width:
        _print_records(console, title, columns, rows)
        return
    several_lines = any("\n" in cell for row in rows for cell in row)
    table = Table(title=title, title_justify="left", show_lines=several_lines)
    for name in columns:
        table.add_column(name, no_wrap=name not in sentences, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


def quantity_cells(quantity: Quantity) -> tuple[str, str]:
    """Write a quantity as two cells.

    Parameters
    ----------
    quantity : Quantity
        Value and interval in its unit.

    Returns
    -------
    value, interval : str
        Three digits; ``< 0.1`` and a dash for an upper limit; an end that is not bounded is open.
    """
    lower, upper = quantity.lower, quantity.upper
    if quantity.verdict == "upper_limit" and upper is not None:
        return f"< {upper:.3g}", "-"
    value = "-" if quantity.value is None else f"{quantity.value:.3g}"
    if upper is None:
        return value, f"above {lower:.3g}" if lower else "-"
    return value, f"below {upper:.3g}" if lower is None else f"{lower:.3g} to {upper:.3g}"


def _width(cells: Sequence[str], is_sentence: bool) -> int:
    from rich.cells import cell_len

    pieces = [piece for cell in cells for piece in (cell.split() if is_sentence else cell.splitlines())]
    width = max(map(cell_len, pieces), default=0)
    return max(width, min(_SENTENCE_WIDTH, max(map(cell_len, cells)))) if is_sentence else width


def _print_records(
    console: Console, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]
) -> None:
    from rich.table import Table
    from rich.text import Text

    console.print(title, markup=False, soft_wrap=True)
    for row in rows:
        console.rule()
        record = Table.grid(padding=(0, 2))
        record.add_column(style="bold", no_wrap=True)
        record.add_column(overflow="fold")
        for name, cell in zip(columns, row, strict=True):
            record.add_row(name.replace("\n", " "), Text(cell))  # not markup: a reason may hold brackets
        console.print(record)
