"""Every shell command of the tutorials runs, in order, in a fresh folder with a database of its own.

A block under the line ``<!-- long -->`` takes more than a minute and is left to the reader.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"(?P<mark><!-- long -->\n+)?```bash\n(?P<commands>.*?)```", re.DOTALL)


def commands_of(page):
    return [b["commands"] for b in BLOCK.finditer(page.read_text()) if b["mark"] is None]


PAGES = [page for page in sorted((ROOT / "docs").glob("*.md")) if commands_of(page)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_tutorial_run(page, tmp_path):
    program = tmp_path / "bin" / "sse-screen"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m sse_screen.cli "$@"\n')
    program.chmod(0o755)
    folder = tmp_path / "here"
    folder.mkdir()
    for name in ("campaigns", "examples", "builders", "docs"):
        if (ROOT / name).exists():
            (folder / name).symlink_to(ROOT / name)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SSE_SCREEN_")}
    search = f"{program.parent}:{Path(sys.executable).parent}:{environment['PATH']}"
    environment |= {"PATH": search, "PYTHONPATH": str(ROOT), "SSE_SCREEN_DATA_DIRECTORY": str(tmp_path / "d")}
    script = "set -eu\ntrap 'sse-screen db stop >/dev/null 2>&1 || true' EXIT\n" + "\n".join(
        commands_of(page)
    )
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
