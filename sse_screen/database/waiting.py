"""Wait for a database that has gone away, and tell that from all other errors."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from pymongo.errors import ConnectionFailure, OperationFailure

from sse_screen.database.errors import DatabaseUnavailableError
from sse_screen.database.stores import connect
from sse_screen.settings import Settings

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
#: ShutdownInProgress, InterruptedAtShutdown, InterruptedDueToReplStateChange, PrimarySteppedDown
_GOING_AWAY_CODES = (91, 11600, 11602, 189)


def is_away(error: BaseException) -> bool:
    """Tell whether an error, or one that it came from, says that the database does not answer.

    Parameters
    ----------
    error : BaseException
        Any error.

    Returns
    -------
    bool
        True for lost connections, servers that are not found and servers that are shutting down.
    """
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        if isinstance(found, ConnectionFailure | DatabaseUnavailableError):
            return True
        if isinstance(found, OperationFailure) and found.code in _GOING_AWAY_CODES:
            return True
        found = found.__cause__ or found.__context__
    return False


def wait_for_database(settings: Settings) -> None:
    """Wait until the database answers, asking at growing intervals of at most half a minute.

    Parameters
    ----------
    settings : Settings
        Where it is, and ``database_wait_s``, how long to wait.

    Raises
    ------
    DatabaseUnavailableError
        When it has not come back in that time.
    DatabaseRefusedError
        When it is back and lets us in no more.
    """
    deadline = time.monotonic() + settings.database_wait_s
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            connect(settings).client.close()
            return
        except DatabaseUnavailableError as error:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise
            _log.warning("%s; asking again for another %.0f s", error, left_s)
            time.sleep(min(pause_s, left_s))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def patiently(operation: Callable[[], _Result], settings: Settings) -> _Result:
    """Do something that may be done twice; while the database is away, wait and do it again.

    Parameters
    ----------
    operation : callable
        Without arguments; the same result however often it is done.
    settings : Settings
        As in :func:`wait_for_database`.

    Returns
    -------
    Any
        What the operation gave.

    Raises
    ------
    DatabaseUnavailableError
        When the database has not come back in ``database_wait_s``.
    """
    while True:
        try:
            return operation()
        except Exception as error:
            if not is_away(error):
                raise
            _log.warning("the database went away (%s); waiting for it", type(error).__name__)
        wait_for_database(settings)
