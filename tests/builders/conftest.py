"""Fixtures of the builders' tests."""

import sys
from pathlib import Path

import pymongo.monitoring
import pytest

sys.path.insert(0, str(Path(__file__).parent))


class CommandNames(pymongo.monitoring.CommandListener):
    """Collect the names of all commands sent to the server."""

    def __init__(self):
        self.names = []

    def started(self, event):
        self.names.append(event.command_name)

    def succeeded(self, event):
        pass

    def failed(self, event):
        pass


@pytest.fixture
def commands(monkeypatch):
    """List of commands that builders send."""
    from sse_screen.database import stores

    listener = CommandNames()
    original = stores.client_options
    monkeypatch.setattr(stores, "client_options", lambda s: original(s) | {"event_listeners": [listener]})
    return listener.names
