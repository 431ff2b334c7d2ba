"""Progress of running jobs: jobs done; of each that runs, steps per second and the time that it needs.

Of all jobs together no time is given: those that wait differ too much from those that are done.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from sse_screen.settings import Settings

_SHOWN_RUNS = 8
_PLAIN_INTERVAL_S = 15.0


class JobsProgress:
    """A live view of the jobs, on standard error; plain lines where that is no terminal.

    Parameters
    ----------
    settings : Settings
        Says where the calculations leave their heartbeats.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=self._console,
        )
        self._jobs = self._progress.add_task("jobs", total=None, note="")
        self._runs: dict[str, TaskID] = {}
        self._seen: dict[str, tuple[float, int]] = {}
        self._last_line = 0.0

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def update(self, counts: dict[str, int]) -> None:
        """Show the present state.

        Parameters
        ----------
        counts : dict
            Jobs by state.
        """
        from sse_screen.workflows.monitoring import running_calculations

        directory = self._settings.work_directory
        running = running_calculations(directory)[:_SHOWN_RUNS] if directory else []
        failed = counts.get("FIZZLED", 0)
        done = counts.get("COMPLETED", 0) + failed
        total = sum(n for state, n in counts.items() if state not in ("ARCHIVED", "DEFUSED"))
        note = f"{failed} failed  " if failed else ""
        self._progress.update(self._jobs, completed=done, total=total, note=note)
        rates = []
        for calculation in running:
            rate = self._rate(calculation.name, calculation.done, calculation.total)
            rates.append(f"{calculation.name} {calculation.done}/{calculation.total} ({rate})")
            self._show_run(calculation.name, calculation.done, calculation.total, rate)
        for name in [n for n in self._runs if n not in {c.name for c in running}]:
            self._progress.remove_task(self._runs.pop(name))
        if not self._console.is_terminal and time.monotonic() - self._last_line > _PLAIN_INTERVAL_S:
            self._last_line = time.monotonic()
            self._console.print(f"jobs {done}/{total}  {note}  {'; '.join(rates)}", soft_wrap=True)

    def _rate(self, name: str, done: int, total: int) -> str:
        now = time.monotonic()
        since, first = self._seen.setdefault(name, (now, done))
        if now <= since or done <= first:
            return "starting"
        rate = (done - first) / (now - since)
        return f"{rate:.2g} steps/s, {(total - done) / rate / 60:.1f} min left"

    def _show_run(self, name: str, done: int, total: int, rate: str) -> None:
        if name not in self._runs:
            self._runs[name] = self._progress.add_task(f"  {name}", total=total, note="")
        self._progress.update(self._runs[name], completed=done, note=rate)
