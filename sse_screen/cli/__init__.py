"""The command line, the only place that knows all parts."""

from sse_screen.cli.main import main

__all__ = ["main"]
