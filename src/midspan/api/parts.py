"""What the HTTP surface is given by whoever joins the instance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from midspan.api.door import Door
from midspan.api.keptanswers import KeptAnswers
from midspan.api.pagemarks import PageMarks
from midspan.attachments import AttachmentStore
from midspan.importsets.pushed import PushedRows
from midspan.importsets.pushedsets import PushedSets
from midspan.kernel.clock import Clock
from midspan.kernel.ids import IdSource
from midspan.records import RecordStore
from midspan.security import Identities

if TYPE_CHECKING:
    from midspan.api.forms import DisplayRules
    from midspan.api.request import Identity, Request
    from midspan.api.router import Route
    from midspan.api.scriptlane import Turns
    from midspan.api.servlets import Servlets
    from midspan.api.soap.scripted import ScriptedSoap


class SignInScheme(Protocol):
    """One way to prove who sends a request: OAuth token, API key, …"""

    def claims(self, request: Request) -> bool:
        """Tell, without waiting, whether the request carries something of this scheme."""
        ...

    def identify(self, request: Request) -> Identity | None:
        """Return who it is, or None when the request carries nothing of this scheme.

        Raises:
            NotAuthenticated: it does carry something, and that is not valid.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class ApiParts:
    """The lower layers and the settings that the HTTP surface works with."""

    records: RecordStore
    identities: Identities
    clock: Clock
    ids: IdSource
    node: str = ""
    """Name of this node, shown on the start page."""
    public_url: str = ""
    """What absolute links start with; empty: what the request was sent to."""
    behind_proxy: bool = False
    """Trust X-Forwarded-Proto, -Host and -Port of the peer."""
    client_cert_header: str = ""
    """The header in which a proxy hands on a client's certificate; empty: none does."""
    trusted_proxies: str = ""
    """Addresses whose header that may be, as ``address_ranges`` reads them."""
    secure: bool = False
    """The instance itself speaks TLS; cookies are Secure whenever the request came by https."""
    threads: int = 8
    """Requests handled at the same time; others wait."""
    waiting: int = 512
    """Requests that may wait; more are answered 503."""
    extra_routes: tuple[Route, ...] = ()
    schemes: tuple[SignInScheme, ...] = ()
    readiness: tuple[Callable[[], None], ...] = ()
    """Further checks of ``/readyz``; each raises MidspanError when its part is not ready."""
    pushed: PushedRows | None = None
    """Takes rows of staging tables in; without it they are ordinary rows that nobody may write."""
    pushed_sets: PushedSets | None = None
    """Takes many rows of a staging table in as an import set of their own."""
    scripted_soap: ScriptedSoap | None = None
    """Runs the scripts of SOAP services; without it they cannot be called."""
    servlets: Servlets | None = None
    """Runs processors that are scripts; without it they do not answer."""
    display_rules: DisplayRules | None = None
    """Runs display rules before the page of a record is shown; None: there are none."""
    script_turns: Turns | None = None
    """What scripts wait for while plain requests come in."""
    door: Door = field(default_factory=Door)
    on_startup: tuple[Callable[[], None], ...] = field(default=())
    on_shutdown: tuple[Callable[[], None], ...] = field(default=())

    @cached_property
    def page_marks(self) -> PageMarks:
        """Where pages of lists ended."""
        return PageMarks(self.clock)

    @cached_property
    def kept_answers(self) -> KeptAnswers:
        """The answers to requests that may come again."""
        return KeptAnswers(self.records)

    @cached_property
    def attachments(self) -> AttachmentStore:
        """The files of the records."""
        return AttachmentStore(self.records)
