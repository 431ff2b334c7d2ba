"""Run the command line as a module."""

from sse_screen.cli import main

main()
