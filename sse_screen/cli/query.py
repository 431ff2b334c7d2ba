"""Query the derived collections from the command line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sse_screen.exceptions import InputError

if TYPE_CHECKING:
    from sse_screen.database.queries import Query

EPILOG = """Examples:

sse-screen query diffusivity --filter mobile_ion=Li --filter "temperature_K>=600" --sort=-temperature_K

sse-screen query convex_hull --filter entries.formula=Li3PS4 --fields chemical_system,entries --json
"""

_SUFFIX = {"=": "", ">=": "_min", "<=": "_max"}
_MAX_COLUMNS = 9


def query(
    collection: Annotated[str, typer.Argument(help="Such as diffusivity; an unknown one lists all.")],
    filters: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            "-f",
            help="field=value, field>=value or field<=value; may be given several times. "
            "An unknown field lists all.",
        ),
    ] = None,
    sort: Annotated[str, typer.Option(help="Field to order by, - in front for descending.")] = "id",
    limit: Annotated[int, typer.Option(help="Most documents; 0 for all.", min=0)] = 50,
    fields: Annotated[str | None, typer.Option(help="Fields to show, joined by commas.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON list on standard output.")] = False,
) -> None:
    """Search a derived collection; the same filters and sort keys as the API's."""
    from sse_screen.database.queries import compile_query
    from sse_screen.database.served import served_collection
    from sse_screen.database.stores import clear_errors, connect
    from sse_screen.settings import get_settings

    parameters = [*map(_parameter, filters or []), ("sort", sort), ("limit", str(limit))]
    if fields is not None:
        parameters.append(("fields", fields))
    checked = compile_query(served_collection(collection), parameters, max_limit=None)
    settings = get_settings()
    with clear_errors(settings):
        database = connect(settings)
        if as_json:
            _write_json(database, checked)
        else:
            _show_table(database, checked)


def _parameter(text: str) -> tuple[str, str]:
    matched = re.match(r"([A-Za-z0-9_.]+)\s*(>=|<=|=)\s*(.*)$", text, re.DOTALL)
    if matched is None:
        raise InputError(f"--filter {text!r}: write field=value, field>=value or field<=value")
    name, operator, value = matched.groups()
    return name + _SUFFIX[operator], value


def _write_json(database: Any, checked: Query) -> None:
    import orjson

    from sse_screen.database.queries import iterate

    separator = "["
    for document in iterate(database, checked):
        typer.echo(separator + orjson.dumps(document, option=orjson.OPT_UTC_Z).decode(), nl=False)
        separator = ",\n"
    typer.echo("]" if separator != "[" else "[]")


def _show_table(database: Any, checked: Query) -> None:
    from rich.console import Console

    from sse_screen.cli.printing import print_rows
    from sse_screen.database.queries import iterate

    found = list(iterate(database, checked))
    if not found:
        typer.echo("nothing found")
        return
    names = [field.whole for field in checked.fields] or [
        field.whole
        for field in checked.collection.fields.values()
        if field.sortable and field.name not in ("id", "built_at")
    ][:_MAX_COLUMNS]
    title = f"{checked.collection.name}: {len(found)} documents"
    names = ["id", *(name for name in names if name != "id")]
    units = checked.collection.units
    heads = [f"{name}\n({units[name]})" if name in units else name for name in names]
    rows = [[_cell(document, name) for name in names] for document in found]
    print_rows(Console(), title, heads, rows)


def _cell(document: Any, name: str) -> str:
    value = document
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, dict) and {"value", "lower", "upper", "unit"} <= value.keys():
        return (
            f"{_short(value['value'])} [{_short(value['lower'])}, {_short(value['upper'])}] {value['unit']}"
        )
    return _short(value)


def _short(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(map(_short, value)) if len(value) <= 8 else f"{len(value)} values"
    return str(value)
