"""What can go wrong in a training."""

from sse_screen.exceptions import InputError, SseScreenError


class TrainingInputError(InputError):
    """The data or the settings of a training are not usable."""


class TrainingDivergedError(SseScreenError):
    """A loss became infinite or no number."""
