"""Tables that a user brings as CSV files: read whole, every refusal names file, line, column and value."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from sse_screen.exceptions import InputError


@dataclass(frozen=True)
class Table:
    """A CSV file as text.

    Attributes
    ----------
    path : pathlib.Path
        The file, for messages.
    columns : list of str
        Names in the first line.
    rows : list of dict
        One a line, column to text.
    """

    path: Path
    columns: list[str]
    rows: list[dict[str, str]]

    def text(self, column: str) -> list[str]:
        """Give a column of text.

        Parameters
        ----------
        column : str
            Its name.

        Returns
        -------
        list of str
            One value a row, without surrounding blanks.

        Raises
        ------
        InputError
            If there is no such column, or a cell of it is empty.
        """
        if column not in self.columns:
            raise InputError(
                f"{self.path}: there is no column {column!r}; the columns are {', '.join(self.columns)}"
            )
        values = [row[column].strip() for row in self.rows]
        for line, value in enumerate(values, start=2):
            if not value:
                raise InputError(f"{self.path}, line {line}, column {column}: the cell is empty")
        return values

    def numbers(self, column: str, *, positive: bool = False) -> list[float]:
        """Give a column of numbers.

        Parameters
        ----------
        column : str
            Its name.
        positive : bool
            Refuse zero and negative numbers.

        Returns
        -------
        list of float
            One value a row.

        Raises
        ------
        InputError
            If a cell is no finite number, or not positive where it has to be.
        """
        numbers = []
        for line, value in enumerate(self.text(column), start=2):
            try:
                number = float(value)
            except ValueError:
                number = math.nan
            if not math.isfinite(number) or (positive and number <= 0):
                kind = "a number above zero" if positive else "a finite number"
                raise InputError(f"{self.path}, line {line}, column {column}: {value!r} is not {kind}")
            numbers.append(number)
        return numbers


def read_table(path: Path) -> Table:
    """Read a CSV file with a header line.

    Parameters
    ----------
    path : pathlib.Path
        The file, in UTF-8.

    Returns
    -------
    Table
        Its columns and rows.

    Raises
    ------
    InputError
        If it cannot be read, has no header or no rows, or a row is longer or shorter than the header.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as handle:
            lines = [line for line in csv.reader(handle) if any(cell.strip() for cell in line)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a CSV file ({error})") from error
    if len(lines) < 2:
        raise InputError(f"{path}: a table needs a header line and at least one row")
    columns = [name.strip() for name in lines[0]]
    if len(set(columns)) < len(columns):
        raise InputError(f"{path}: a column name occurs twice in {', '.join(columns)}")
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(columns):
            raise InputError(f"{path}, line {number}: {len(line)} cells under {len(columns)} columns")
    return Table(path, columns, [dict(zip(columns, line, strict=True)) for line in lines[1:]])
