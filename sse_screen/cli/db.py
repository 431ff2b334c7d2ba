"""Commands for the embedded database."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from sse_screen.exceptions import InputError

if TYPE_CHECKING:
    from sse_screen.database.embedded import EmbeddedServer, ServerStatus

app = typer.Typer(
    help="Start, stop and inspect the embedded MongoDB server.",
    no_args_is_help=True,
)

Json = Annotated[bool, typer.Option("--json", help="Plain JSON on standard output.")]


@app.command()
def start(as_json: Json = False) -> None:
    """Start the embedded MongoDB server and make its indexes; changes nothing when it already runs.

    For example:

    sse-screen db start

    SSE_SCREEN_DATA_DIRECTORY=/scratch/me/screen sse-screen db start
    """
    from sse_screen.database.indexes import ensure_indexes
    from sse_screen.database.stores import connect
    from sse_screen.settings import get_settings

    found = _server().start()
    database = connect(get_settings())
    ensure_indexes(database)
    database.client.close()
    _show(found, as_json)


@app.command()
def stop(as_json: Json = False) -> None:
    """Stop the embedded MongoDB server cleanly; nothing stored is lost.

    For example:

    sse-screen db stop
    """
    was_running = _server().stop()
    if as_json:
        typer.echo(json.dumps({"stopped": was_running}))
    else:
        typer.echo("stopped" if was_running else "it was not running")


@app.command()
def status(as_json: Json = False) -> None:
    """Tell whether the database answers and where it is; exit status 3 when it does not.

    For example:

    sse-screen db status

    sse-screen db status --json
    """
    from sse_screen.settings import get_settings

    settings = get_settings()
    if settings.database_uri is not None:
        from sse_screen.database.stores import connect, describe_server

        database = connect(settings)
        version = database.client.server_info()["version"]
        where = describe_server(settings.database_uri.get_secret_value())
        state = {"running": True, "server": where, "database": settings.database_name, "version": version}
        typer.echo(json.dumps(state) if as_json else f"{where} answers (MongoDB {version})")
        return
    found = _server().status()
    _show(found, as_json)
    if not found.running:
        raise typer.Exit(3)


@app.command()
def indexes(
    verify: Annotated[
        bool, typer.Option("--verify", help="Only list missing ones; status 3 if any.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Create the declared indexes, drop outdated ones, or verify that all are there.

    For example:

    sse-screen db indexes

    sse-screen db indexes --verify
    """
    from sse_screen.database.indexes import ensure_indexes, verify_indexes
    from sse_screen.database.stores import connect
    from sse_screen.settings import get_settings

    database = connect(get_settings())
    names = verify_indexes(database) if verify else ensure_indexes(database)
    if as_json:
        typer.echo(json.dumps({"missing" if verify else "created": names}))
    else:
        what = "missing" if verify else "created"
        typer.echo("\n".join(f"{what}: {name}" for name in names) or "all indexes are there")
    if verify and names:
        raise typer.Exit(3)


def _server() -> EmbeddedServer:
    from sse_screen.database.embedded import EmbeddedServer
    from sse_screen.settings import get_settings

    settings = get_settings()
    if settings.database_uri is not None:
        raise InputError(
            "database_uri is set, so the embedded server is not in use; to start or stop the embedded "
            "one, unset it (SSE_SCREEN_DATABASE_URI)"
        )
    return EmbeddedServer.from_settings(settings)


def _show(found: ServerStatus, as_json: bool) -> None:
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "running": found.running,
                    "pid": found.pid,
                    "uri": found.uri,
                    "version": found.version,
                    "directory": str(found.directory),
                }
            )
        )
    elif found.running:
        typer.echo(f"running: MongoDB {found.version}, process {found.pid}, files in {found.directory}")
        typer.echo(f"connect with: {found.uri}")
    else:
        typer.echo(f"not running (files in {found.directory}); start it with: sse-screen db start")
