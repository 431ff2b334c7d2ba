"""The root of every error that this package raises on purpose."""


class SseScreenError(Exception):
    """Base of all errors raised on purpose; its message names what was wrong, where, and the way out."""


class InputError(SseScreenError):
    """Something from outside (file, field, option) was refused; nothing has been submitted or changed."""


class InfrastructureError(SseScreenError):
    """The database, the disk or the network failed, not the science; the work can be run again."""
