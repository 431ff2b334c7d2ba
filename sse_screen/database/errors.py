"""Errors of the database layer."""

from collections.abc import Sequence

from sse_screen.exceptions import InfrastructureError, InputError


class DatabaseUnavailableError(InfrastructureError):
    """The database does not answer; nothing is wrong with what was asked."""


class DatabaseRefusedError(InputError):
    """The database address, user or password is wrong."""


class EmbeddedServerError(InfrastructureError):
    """The embedded server could not be started, found or stopped."""


class BlobNotFoundError(InfrastructureError):
    """No blob of that hash is stored."""


class BlobCorruptError(InfrastructureError):
    """The stored bytes are not the ones that the hash names."""


class QueryError(InputError):
    """A query names an unknown collection, parameter, field or sort key, or has an unfit value.

    Parameters
    ----------
    message : str
        What is wrong, and what is allowed.
    parameter : str, optional
        Parameter that is refused.
    allowed : sequence of str
        What would be accepted in its place, where that is a list.
    """

    def __init__(self, message: str, parameter: str | None = None, allowed: Sequence[str] = ()):
        super().__init__(message)
        self.parameter = parameter
        self.allowed = tuple(allowed)
