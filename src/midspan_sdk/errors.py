"""What a spoke or probe raises; the class says what has to happen next, the code says why.

SdkError
├── ActionError           refuse: trying again changes nothing
│   ├── InvalidInputs     the flow or the probe's caller gave the wrong inputs
│   ├── InvalidSpoke      the spoke's own folder is wrong
│   └── TargetNotAllowed  the agent's own allow list forbids the target
├── RetryLater            surely nothing happened: try again after a while
├── SignInAgain           the credential was refused: renew it, then try again
└── OutcomeUnknown        it was sent and may have happened: repeat only where that is harmless
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from datetime import timedelta


class SdkError(Exception):
    """An error with a stable ``code``, a ``message`` and, where there is more, ``detail``."""

    def __init__(self, code: str, message: str, *, detail: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.detail = detail

    def explain(self) -> str:
        """Return code, message and detail as one line for a log or a terminal."""
        line = f"{self.code}: {self.message}"
        return f"{line} ({self.detail})" if self.detail else line


class ActionError(SdkError):
    """The peer or the action refuses; the step fails with ``code`` and is not tried again.

    ``code`` is ``<spoke>.<reason>``, e.g. ``slack.channel_not_found``: flows branch on it.
    """


class InvalidInputs(ActionError):
    """The inputs do not fit; ``field`` names the wrong one (empty when it is all of them)."""

    def __init__(self, message: str, *, field: str = "", detail: str | None = None) -> None:
        super().__init__("invalid_inputs", message, detail=detail)
        self.field = field


class InvalidSpoke(ActionError):
    """A file of a spoke's folder is wrong; the message names file, place and remedy."""

    def __init__(self, message: str, *, detail: str | None = None) -> None:
        super().__init__("invalid_spoke", message, detail=detail)


class TargetNotAllowed(ActionError):
    """The agent's own list of targets, which the instance cannot widen, forbids this one."""

    def __init__(self, message: str, *, detail: str | None = None) -> None:
        super().__init__("target_not_allowed", message, detail=detail)


class RetryLater(SdkError):
    """Surely nothing happened; try again, not sooner than ``after`` when the peer gave it."""

    def __init__(
        self, message: str, after: timedelta | None = None, *, detail: str | None = None
    ) -> None:
        super().__init__("retry_later", message, detail=detail)
        self.after = after


class SignInAgain(SdkError):
    """The peer refused the credential; one renewed token deserves one more try."""

    def __init__(self, message: str, *, detail: str | None = None) -> None:
        super().__init__("sign_in_again", message, detail=detail)


class OutcomeUnknown(SdkError):
    """The call was sent and its effect never confirmed.

    ``Action.run`` turns it into ``RetryLater`` for actions that declare ``repeat`` ``safe`` or
    ``keyed``; for ``never`` it ends the step as "outcome unknown". ``after`` is the peer's wish.
    """

    def __init__(
        self, message: str, after: timedelta | None = None, *, detail: str | None = None
    ) -> None:
        super().__init__("outcome_unknown", message, detail=detail)
        self.after = after


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the hint for an unknown name; it lists the known ones when none is near.

    >>> did_you_mean("chanel", ["channel", "text"])
    "Did you mean 'channel'?"
    >>> did_you_mean("x", ["text", "channel"])
    'Known: channel, text.'
    """
    names = sorted(known)
    matches = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if matches:
        return f"Did you mean {matches[0]!r}?"
    return f"Known: {', '.join(names)}." if names else "None is known."
