"""The agent's own errors; those of a probe come from ``midspan_sdk``, shared ones from the link.

MidError                 MM000
├── InvalidConfig        MM100  mid.yaml or a file it names is wrong
├── NotEnrolled          MM110  this home has no identity yet, or has one already
├── HomeBusy             MM120  another process works in this home
├── EnrolmentRefused     MM200  the instance did not take the code
├── IdentityRefused      MM210  the instance no longer accepts this identity: stop
├── InstanceUnavailable  MM220  no answer, or an answer that asks to try again
├── InstanceRefused      MM230  the instance refuses this message for good
└── FenceLost            MM240  the job belongs to somebody else now: forget it
"""

from __future__ import annotations

from midspan_link.errors import LinkError


class MidError(LinkError):
    """An error of the agent itself."""

    code = "MM000"


class InvalidConfig(MidError):
    """``mid.yaml``, or a file it names, is wrong; the message names the place."""

    code = "MM100"


class NotEnrolled(MidError):
    """The home has no identity where one is needed, or one where none may be."""

    code = "MM110"


class HomeBusy(MidError):
    """Another agent runs with the same home."""

    code = "MM120"


class EnrolmentRefused(MidError):
    """The instance refuses the enrolment code."""

    code = "MM200"


class IdentityRefused(MidError):
    """The instance does not accept this identity any more; going on would be wrong."""

    code = "MM210"


class InstanceUnavailable(MidError):
    """The instance did not answer, or cannot now; the message is sent again later."""

    code = "MM220"


class InstanceRefused(MidError):
    """The instance refuses this message; sending it again changes nothing."""

    code = "MM230"


class FenceLost(MidError):
    """The job was claimed again or ended; what is spooled for it is void."""

    code = "MM240"
