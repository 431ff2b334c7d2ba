"""Run builders in the order of their dependencies, serially or in worker processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any

from sse_screen.builders.base import BuildReport, DerivedBuilder
from sse_screen.database.stores import clear_errors
from sse_screen.settings import get_settings

Progress = Callable[[int, int], None]
_QUEUED_PER_PROCESS = 4


def run_builder(builder: DerivedBuilder, processes: int = 1, progress: Progress | None = None) -> BuildReport:
    """Run one builder to its end; one failed document stops no other.

    Unlike maggma's parallel runner it loses neither an error nor an item whose worker was killed.

    Parameters
    ----------
    builder : DerivedBuilder
        The builder.
    processes : int
        Worker processes; 1 builds in this one.
    progress : callable, optional
        Called with (documents done, documents to build) after each.

    Returns
    -------
    BuildReport
        What was built and what failed.

    Raises
    ------
    sse_screen.exceptions.SseScreenError
        When the database is not there.
    """
    with clear_errors(get_settings()):
        builder.connect()
        items = builder.get_items()
        results = (
            map(builder.process_item, items) if processes == 1 else _in_parallel(builder, items, processes)
        )
        batch: list[dict[str, Any]] = []
        for done, result in enumerate(results, start=1):
            batch.append(result)
            if len(batch) >= builder.chunk_size:
                builder.update_targets(batch)
                batch = []
            if progress is not None:
                progress(done, builder.total or 0)
        builder.update_targets(batch)
        return builder.finish()


def _in_parallel(
    builder: DerivedBuilder, items: Iterator[dict[str, Any]], processes: int
) -> Iterator[dict[str, Any]]:
    """Process items as they finish; those of a worker that died are left out, and so counted as lost."""
    # spawned, not forked: a copy of the parent's database threads and locks would be of no use to a child
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as executor:
        running: set[Future[dict[str, Any]]] = set()
        while True:
            room = processes * _QUEUED_PER_PROCESS - len(running)
            try:
                running |= {executor.submit(builder.process_item, item) for item in islice(items, room)}
            except BrokenProcessPool:
                return
            if not running:
                return
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                if not isinstance(future.exception(), BrokenProcessPool):
                    yield future.result()
