"""Rows are a table where the words fit, and a line a field where they do not."""

import io

import pytest
from rich.console import Console

from sse_screen.cli.printing import print_rows, quantity_cells
from sse_screen.documents.base import Quantity

COLUMNS = ["name", "level of theory", "why"]
ROWS = [
    ["licl-pbe-2026", "PBE", "reached the minimum of 1 S/cm [2, 5] at 1000 K in every run"],
    ["li10gep2s12", "r2SCAN without dispersion", "not [red] at all"],
]


def shown(width, sentences=("why",), rows=ROWS):
    stream = io.StringIO()
    print_rows(Console(file=stream, width=width), "rows", COLUMNS, rows, sentences)
    return stream.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_every_word_is_whole_at_any_width(width):
    text = shown(width)
    assert max(map(len, text.splitlines())) <= width
    words = {word for row in [COLUMNS, *ROWS] for cell in row for word in cell.split()}
    assert words <= set(text.replace("│", " ").replace("┃", " ").split())


def test_wide_rows_are_lines_of_a_table_and_narrow_ones_lines_of_fields():
    assert "li10gep2s12   │ r2SCAN without dispersion │" in shown(100)
    assert "level of theory  r2SCAN without dispersion\n" in shown(60)


def test_nothing_to_show_is_an_empty_table():
    assert "level of theory" in shown(80, rows=[])


def test_cells_of_quantities():
    for given, cells in (
        ({"value": 1.0, "lower": 0.5, "upper": 2.0}, ("1", "0.5 to 2")),
        ({"lower": 0.0, "upper": 2.0, "verdict": "upper_limit"}, ("< 2", "-")),
        ({"lower": 0.5, "verdict": "unresolved"}, ("-", "above 0.5")),
        ({"upper": 0.5, "verdict": "unresolved"}, ("-", "below 0.5")),
        ({"lower": 0.1, "upper": 0.5, "verdict": "unresolved"}, ("-", "0.1 to 0.5")),
        ({"verdict": "refused"}, ("-", "-")),
    ):
        assert quantity_cells(Quantity(unit="1", **given)) == cells
