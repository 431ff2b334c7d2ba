"""Fixtures that every test may use: a real MongoDB server, private to the test run."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pymongo.database import Database

    from sse_screen.settings import Settings


@pytest.fixture(scope="session")
def mongo_settings() -> Iterator[Settings]:
    """Settings of an embedded server of this test process; it stops with the session."""
    from sse_screen.database.embedded import EmbeddedServer
    from sse_screen.settings import Settings

    folder = Path(tempfile.mkdtemp(prefix="sse-test-"))
    settings = Settings(
        # said explicitly, so that a database of the user's environment is never emptied by a test
        database_uri=None,
        api_database_uri=None,
        api_key=None,
        data_directory=folder,
        work_directory=folder / "work",
        database_name="test",
        database_timeout_s=30,
        workers=1,
    )
    server = EmbeddedServer.from_settings(settings)
    server.start()
    yield settings
    server.stop()
    shutil.rmtree(folder)


@pytest.fixture
def database(mongo_settings: Settings) -> Iterator[Database[dict[str, Any]]]:
    """Give an empty database on the embedded server; emptied again after the test."""
    from sse_screen.database.stores import connect

    found = connect(mongo_settings)
    found.client.drop_database(found.name)
    yield found
    found.client.drop_database(found.name)
    found.client.close()


@pytest.fixture
def settings_environment(mongo_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Make ``get_settings`` and child processes of the test see the embedded test server."""
    from sse_screen.settings import get_settings

    for name in [name for name in os.environ if name.startswith("SSE_SCREEN_")]:
        monkeypatch.delenv(name)
    for name, value in mongo_settings.environment().items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    yield mongo_settings
    get_settings.cache_clear()


@pytest.fixture(scope="session")
def authenticated_server() -> Iterator[str]:
    """Socket (quoted for a uri) of a second real server, with authentication and the user root:root."""
    import subprocess
    from urllib.parse import quote_plus

    from pymongo import MongoClient

    from sse_screen.database.embedded import find_mongod

    with tempfile.TemporaryDirectory(prefix="sse-auth-") as folder:
        socket = Path(folder) / "m.sock"
        arguments = ["--auth", "--dbpath", folder, "--bind_ip", socket, "--wiredTigerCacheSizeGB", "0.25"]
        process = subprocess.Popen([find_mongod(), *arguments], stdout=subprocess.DEVNULL)
        quoted = quote_plus(str(socket))
        client: MongoClient[Any] = MongoClient(f"mongodb://{quoted}/", serverSelectionTimeoutMS=20000)
        client.admin.command("createUser", "root", pwd="root", roles=["root"])
        client.close()
        yield quoted
        process.terminate()
        process.wait()
