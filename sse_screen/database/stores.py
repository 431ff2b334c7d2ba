"""Connections: the database, jobflow's job store and the FireWorks LaunchPad, all from the settings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus, unquote_plus

from pymongo import MongoClient
from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    InvalidName,
    InvalidURI,
    OperationFailure,
    PyMongoError,
)

from sse_screen.database.embedded import EmbeddedServer
from sse_screen.database.errors import DatabaseRefusedError, DatabaseUnavailableError

if TYPE_CHECKING:
    from fireworks import LaunchPad
    from jobflow import JobStore
    from maggma.core import Store
    from pymongo.database import Database

    from sse_screen.settings import Settings

OUTPUTS = "outputs"
BLOBS = "blobs"
#: names under which makers ask jobflow for a blob store ("data" is atomate2's)
ADDITIONAL_STORES = (BLOBS, "data")

AUTHENTICATION_CODES = (18, 13, 8000)


def database_uri(settings: Settings, *, read_only: bool = False) -> str:
    """Give the connection string in clear.

    Parameters
    ----------
    settings : Settings
        ``database_uri``, or the data folder of the embedded server.
    read_only : bool
        Give ``api_database_uri`` where one is set.

    Returns
    -------
    str
        Connection string; it may hold a password: store and print it nowhere.
    """
    if read_only and settings.api_database_uri is not None:
        return settings.api_database_uri.get_secret_value()
    if settings.database_uri is not None:
        return settings.database_uri.get_secret_value()
    return EmbeddedServer.from_settings(settings).uri


def connect(settings: Settings, *, read_only: bool = False) -> Database[dict[str, Any]]:
    """Connect to the database and check that it answers and lets us in.

    Parameters
    ----------
    settings : Settings
        Where the database is.
    read_only : bool
        Use ``api_database_uri``, the read-only user, where one is set.

    Returns
    -------
    pymongo.database.Database
        The database; dates come back timezone-aware (UTC).

    Raises
    ------
    DatabaseUnavailableError
        When nobody answers in ``database_timeout_s``.
    DatabaseRefusedError
        When the connection string is malformed or user or password are refused. No message holds a password.
    """
    uri = database_uri(settings, read_only=read_only)
    with clear_errors(settings, uri):
        client = open_client(uri, settings)
        database = client[settings.database_name]
        try:
            # "ping" is allowed to anybody; this one needs a user where the server has authentication
            database.command("listCollections", nameOnly=True, authorizedCollections=True)
        except PyMongoError:
            client.close()
            raise
    return database


def open_client(uri: str, settings: Settings) -> MongoClient[dict[str, Any]]:
    """Make a client; it connects when it is first used.

    Parameters
    ----------
    uri : str
        Connection string.
    settings : Settings
        ``database_timeout_s`` is used.

    Returns
    -------
    pymongo.MongoClient
        The client.

    Raises
    ------
    pymongo.errors.InvalidURI, pymongo.errors.ConfigurationError
        When the connection string is malformed; :func:`clear_errors` translates them.
    """
    try:
        return MongoClient(uri, **client_options(settings))
    except ValueError as error:
        raise InvalidURI(str(error)) from None


def client_options(settings: Settings) -> dict[str, Any]:
    """Give the options of every client of ours.

    Parameters
    ----------
    settings : Settings
        ``database_timeout_s`` is used.

    Returns
    -------
    dict
        Keyword arguments of ``MongoClient``.
    """
    timeout_ms = int(settings.database_timeout_s * 1000)
    return {
        "serverSelectionTimeoutMS": timeout_ms,
        "connectTimeoutMS": timeout_ms,
        "tz_aware": True,
        "appname": "sse-screen",
    }


def job_store(settings: Settings) -> JobStore:
    """Make jobflow's store: documents in ``outputs``, large data in the GridFS bucket ``blobs``.

    Parameters
    ----------
    settings : Settings
        Where the database is.

    Returns
    -------
    jobflow.JobStore
        The store, not yet connected. Never pass it to ``flow_to_workflow``: it would be written, password and
        all, into the LaunchPad; workers make their own from their settings. One job may use one of the
        additional stores only (jobflow 0.4.0 stores a job's second one as a blob of the first).
    """
    from jobflow import JobStore
    from maggma.stores import GridFSStore, MongoStore

    uri = database_uri(settings)
    options = client_options(settings)
    documents = MongoStore(settings.database_name, OUTPUTS, uri=uri, mongoclient_kwargs=options)
    blobs: dict[str, Store] = {
        name: GridFSStore(
            settings.database_name, BLOBS, uri=uri, mongoclient_kwargs=dict(options), compression=True
        )
        for name in ADDITIONAL_STORES
    }
    return JobStore(documents, additional_stores=blobs)


def launchpad(settings: Settings, kind: type[LaunchPad] | None = None) -> LaunchPad:
    """Make the FireWorks LaunchPad, in the same database; a new one gets its counters and indexes.

    Parameters
    ----------
    settings : Settings
        Where the database is.
    kind : type, optional
        A subclass to make instead.

    Returns
    -------
    fireworks.LaunchPad
        The LaunchPad; its log is silent below warnings.

    Raises
    ------
    DatabaseUnavailableError, DatabaseRefusedError
        As :func:`connect`.
    """
    from fireworks import LaunchPad

    connect(settings).client.close()
    options = {key: value for key, value in client_options(settings).items() if key != "tz_aware"}
    pad = (kind or LaunchPad)(
        host=database_uri(settings),
        name=settings.database_name,
        uri_mode=True,
        strm_lvl="WARNING",
        mongoclient_kwargs=options,
    )
    with clear_errors(settings):
        counter = {"next_fw_id": 1, "next_launch_id": 1}
        fresh = pad.fw_id_assigner.update_one({"_id": -1}, {"$setOnInsert": counter}, upsert=True)
        if fresh.upserted_id is not None:
            pad.tuneup()
    return pad


@contextmanager
def clear_errors(settings: Settings, uri: str | None = None) -> Iterator[None]:
    """Turn pymongo's errors inside the block into our own, without any password.

    Parameters
    ----------
    settings : Settings
        To say which database was meant.
    uri : str, optional
        Connection string whose password must not appear; the settings' one by default.

    Raises
    ------
    DatabaseUnavailableError
        When the database does not answer.
    DatabaseRefusedError
        When it refuses the user, or the connection string is malformed.
    """
    uri = uri if uri is not None else database_uri(settings)
    where = describe_server(uri)
    try:
        yield
    except (InvalidURI, ConfigurationError, InvalidName) as error:
        raise DatabaseRefusedError(
            f"database_uri: {redact(str(error), uri)}; wanted: mongodb://user:password@host:27017/?authSource="
            "admin, with special characters of user and password percent-encoded"
        ) from None
    except OperationFailure as error:
        if error.code not in AUTHENTICATION_CODES:
            raise DatabaseUnavailableError(f"{where}: {redact(_short(error), uri)}") from None
        raise DatabaseRefusedError(
            f"{where}: refuses user or password of database_uri (SSE_SCREEN_DATABASE_URI), or the user may "
            f"not use database {settings.database_name!r}; check them and authSource"
        ) from None
    except ConnectionFailure as error:
        if settings.database_uri is None and uri == database_uri(settings):
            raise DatabaseUnavailableError(
                f"the embedded database of {settings.data_directory} does not answer; "
                "run 'sse-screen db start', or set database_uri to a MongoDB server"
            ) from None
        raise DatabaseUnavailableError(
            f"{where} does not answer ({redact(_short(error), uri)}); check address, network, TLS and that "
            "it runs"
        ) from None
    except PyMongoError as error:
        raise DatabaseUnavailableError(f"{where}: {redact(_short(error), uri)}") from None


def _short(error: Exception) -> str:
    """Leave out what pymongo adds about its own options and the topology."""
    return re.split(r",? (?:Timeout|full error):| \(configured timeouts", str(error))[0]


def describe_server(uri: str) -> str:
    """Name a server without user and password.

    Parameters
    ----------
    uri : str
        Connection string.

    Returns
    -------
    str
        Such as ``database at host:27017``.
    """
    rest = uri.split("://", 1)[-1].rsplit("@", 1)[-1]
    hosts = rest.split("/", 1)[0].split("?", 1)[0]
    return f"database at {unquote_plus(hosts)}" if hosts else "database"


def redact(text: str, uri: str) -> str:
    """Remove a connection string's password, in any spelling, from a text.

    Parameters
    ----------
    text : str
        Text that may quote it.
    uri : str
        The connection string.

    Returns
    -------
    str
        The text with ``***`` instead.
    """
    authority = uri.split("://", 1)[-1].rsplit("@", 1)
    if len(authority) == 1 or ":" not in authority[0]:
        return text
    password = authority[0].split(":", 1)[1]
    plain = unquote_plus(password)
    spellings = {uri, password, plain, quote_plus(plain), quote(plain, safe="")}
    for spelling in sorted(spellings, key=len, reverse=True):
        if spelling:
            text = text.replace(spelling, "***")
    return text
