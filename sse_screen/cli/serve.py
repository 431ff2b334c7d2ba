"""Serve the API."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sse_screen.exceptions import InputError

if TYPE_CHECKING:
    from sse_screen.settings import Settings

EPILOG = """Examples:

sse-screen serve

SSE_SCREEN_API_KEY=... sse-screen serve --host 0.0.0.0 --port 8080

sse-screen serve --openapi api/openapi.json
"""


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; api_host by default.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; api_port by default.", min=1, max=65535)] = None,
    openapi: Annotated[
        Path | None, typer.Option(help="Write the OpenAPI file there and end, without a database.")
    ] = None,
) -> None:
    """Serve the read-only API; its interactive description is at /docs.

    Off the loopback interface it wants an api_key.
    """
    from sse_screen.settings import get_settings

    settings = get_settings()
    if openapi is not None:
        _write_openapi(settings, openapi)
        return
    host, port = host or settings.api_host, port or settings.api_port
    if settings.api_key is None and not is_loopback(host):
        raise InputError(
            f"api_host {host!r} can be reached from outside; set api_key (SSE_SCREEN_API_KEY), which clients "
            "then send as X-API-Key, or listen on 127.0.0.1"
        )
    _check_address(host, port)
    import uvicorn

    from sse_screen.api.app import create_app
    from sse_screen.database.indexes import verify_indexes
    from sse_screen.database.stores import clear_errors, connect, database_uri

    with clear_errors(settings, database_uri(settings, read_only=True)):
        database = connect(settings, read_only=True)
        missing = verify_indexes(database)
        database.client.close()
    if missing:
        typer.echo(f"warning: {len(missing)} indexes are missing; run 'sse-screen db indexes'", err=True)
    app = create_app(settings)
    uvicorn.run(app, host=host, port=port, log_level=settings.log_level.lower(), server_header=False)


def is_loopback(host: str) -> bool:
    """Tell whether an address can be reached from this machine only.

    Parameters
    ----------
    host : str
        Name or address.

    Returns
    -------
    bool
        True for localhost, 127.0.0.0/8 and ::1.
    """
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _check_address(host: str, port: int) -> None:
    """Refuse an address that is in use or not ours, before anything else is done."""
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise InputError(
            f"cannot listen on {host} port {port}: {(error.strerror or str(error)).lower()}; "
            "choose another by --port (SSE_SCREEN_API_PORT) or --host (SSE_SCREEN_API_HOST)"
        ) from None


def _write_openapi(settings: Settings, path: Path) -> None:
    import json

    from sse_screen.api.app import create_app

    text = json.dumps(create_app(settings).openapi(), indent=1, ensure_ascii=False, sort_keys=True)
    try:
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"--openapi {path}: cannot be written: {error.strerror}") from None
