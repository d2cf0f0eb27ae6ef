"""Host calls behind RESTMessageV2 and SOAPMessageV2: look a message up, send it, wait for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from msgspec import Struct, structs

from midspan.attachments import AttachmentStore, NewFile
from midspan.formats import xml
from midspan.kernel.errors import Conflict, InvalidRequest, MidspanError, Unavailable
from midspan.outbound.deferred import DeferredMessages
from midspan.outbound.definition import SOAP, find_definition
from midspan.outbound.message import Asked, Replied
from midspan.outbound.throughagent import AgentMessages
from midspan.outbound.wssecurity import with_username_token
from midspan.sandbox import JsonValue
from midspan.scripting.streams import stream_pieces
from midspan.scripting.unit import Unit
from midspan_sdk import HttpReply

if TYPE_CHECKING:
    from midspan.outbound.sender import Messages

LONGEST = timedelta(seconds=25)
"""How long a script may wait for one answer; a script as a whole has 30 s."""
LARGEST_BODY = 64 * 1024 * 1024
_MOST_OPEN = 100


class _Saved(Struct, frozen=True):
    """Where the answer's body goes."""

    table: str
    record: str
    name: str


class _Job(Struct, frozen=True):
    """A message that an agent carries."""

    job: str
    said: Mapping[str, Any]
    asked: Asked


class _Deferred(Struct, frozen=True):
    """A message that leaves with the transaction, unless the script asks for its answer."""

    job: str
    said: Mapping[str, Any]
    asked: Asked


class MessageCalls:
    """Answers the ``message.`` calls of one session."""

    def __init__(
        self,
        unit: Unit,
        messages: Callable[[], Messages],
        deferred: DeferredMessages,
        agents: AgentMessages,
    ) -> None:
        self._unit = unit
        self._messages = messages
        self._deferred = deferred
        self._agents = agents
        self._open: list[Future[dict[str, JsonValue]] | _Job | _Deferred] = []

    def calls(self) -> Mapping[str, Callable[..., Any]]:
        """Return the functions by the name of their call."""
        return {
            "message.open": self.open,
            "message.send": self.send,
            "message.start": self.start,
            "message.wait": self.wait,
        }

    def open(self, kind: str, message: str, function: str) -> JsonValue:
        """Return what records define of a message, without any secret."""
        with self._unit.reading(enforce=False) as transaction:
            found = find_definition(transaction, kind, message, function)
        shown: dict[str, JsonValue] = structs.asdict(found)
        return shown

    def send(self, said: Mapping[str, Any]) -> JsonValue:
        """Send a message and return its answer."""
        asked = self._asked(said)
        inside = self._unit.enclosing is not None
        if said.get("mid"):
            if inside:
                raise Conflict(
                    "A message through a MID server cannot be waited for inside a transaction",
                    hint="Its job would only be seen after the commit: use executeAsync().",
                )
            job = self._enqueue(said, asked)
            within = min(asked.timeout or LONGEST, LONGEST)
            return self._finished(said, self._agents.wait(job, asked, within))
        with self._unit.reading(enforce=False) as transaction:
            prepared = self._messages().prepare(transaction, asked, LONGEST)
        return self._finished(said, self._messages().send(prepared, inside=inside))

    def start(self, said: Mapping[str, Any]) -> int | None:
        """Send a message and return a number to ask for its answer.

        Inside a transaction the message leaves with its commit. It has no number there where an
        agent carries it: its job is seen after the commit only.
        """
        asked = self._asked(said)
        if len(self._open) >= _MOST_OPEN:
            raise InvalidRequest(f"A script may start {_MOST_OPEN} messages")
        if self._unit.enclosing is not None:
            if said.get("save"):
                raise Conflict(
                    "A message that leaves with the transaction cannot save its answer",
                    hint="Use execute(), or let a scheduled script send it.",
                )
            if said.get("mid"):
                self._enqueue(said, asked)
                return None
            job = self._deferred.enqueue(self._unit.enclosing, asked)
            self._open.append(_Deferred(job, said, asked))
            return len(self._open) - 1
        if said.get("mid"):
            self._open.append(_Job(self._enqueue(said, asked), said, asked))
            return len(self._open) - 1
        with self._unit.reading(enforce=False) as transaction:
            prepared = self._messages().prepare(transaction, asked)
        finish = self._messages().start(prepared, lambda replied: self._finished(said, replied))
        self._open.append(finish)
        return len(self._open) - 1

    def wait(self, number: int, seconds: float) -> JsonValue:
        """Return the answer of a started message.

        Raises:
            Unavailable: there is none in time.
        """
        within = min(float(seconds), LONGEST.total_seconds())
        started = self._open[number]
        if isinstance(started, _Deferred):
            return self._at_once(started, timedelta(seconds=within))
        if isinstance(started, _Job):
            wait = timedelta(seconds=within)
            return self._finished(started.said, self._agents.wait(started.job, started.asked, wait))
        try:
            return started.result(within)
        except TimeoutError:
            raise Unavailable(
                f"No response within {within:g} s",
                hint=f"waitForResponse() takes up to {LONGEST.total_seconds():g} s.",
            ) from None

    def _at_once(self, deferred: _Deferred, within: timedelta) -> JsonValue:
        """Send a message that was to leave with the transaction, and return its answer."""
        enclosing = self._unit.enclosing
        if enclosing is None:
            raise RuntimeError("a message is deferred inside transactions only")
        self._deferred.withdraw(enclosing, deferred.job)
        prepared = self._messages().prepare(enclosing, deferred.asked, within)
        return self._finished(deferred.said, self._messages().send(prepared, inside=True))

    def _enqueue(self, said: Mapping[str, Any], asked: Asked) -> str:
        if said.get("save"):
            raise InvalidRequest(
                "The answer of a message through a MID server cannot be saved as an attachment"
            )
        if asked.mutual:
            raise InvalidRequest(
                "Mutual authentication does not go through a MID server",
                hint="Send the message directly, or without a protocol profile.",
            )
        with self._unit.writing(enforce=False) as transaction:
            agent, correlator = str(said["mid"]), str(said.get("correlator") or "")
            return self._agents.enqueue(transaction, asked, agent, correlator)

    def _asked(self, said: Mapping[str, Any]) -> Asked:
        content, kind = self._content(said)
        headers = tuple((str(name), str(value)) for name, value in said["headers"])
        typed = any(name.lower() == "content-type" for name, _ in headers)
        if kind and not typed:
            headers = (*headers, ("Content-Type", kind))
        if said.get("kind") == SOAP:
            content = _envelope(content, _pair(said.get("token")), str(said.get("mid") or ""))
        milliseconds = said.get("timeout")
        return Asked(
            method=str(said["method"]).upper(),
            url=str(said["url"]).strip(),
            headers=headers,
            content=content,
            message=_pair(said.get("message")) or ("", ""),
            authority=_pair(said.get("authority")) or ("", ""),
            basic=_pair(said.get("basic")),
            profile=_pair(said.get("profile")),
            mutual=str(said.get("mutual") or ""),
            timeout=timedelta(milliseconds=float(milliseconds)) if milliseconds else None,
            level=str(said.get("level") or "").lower(),
            redirects_to=_redirects(said.get("redirects")),
            for_file=bool(said.get("save")),
        )

    def _content(self, said: Mapping[str, Any]) -> tuple[bytes, str]:
        """Return the body and, when it is an attachment, its type."""
        source = said.get("stream")
        if source is None:
            return str(said.get("body") or "").encode(errors="replace"), ""
        content = bytearray()
        for piece in stream_pieces(self._unit, source):
            content += piece
            if len(content) > LARGEST_BODY:
                raise InvalidRequest(f"The body of a message has more than {LARGEST_BODY} bytes")
        kind = ""
        if source.get("kind") == "attachment":
            with self._unit.reading(enforce=False) as transaction:
                store = AttachmentStore(self._unit.store)
                kind = store.find(transaction, str(source.get("id"))).content_type
        return bytes(content), kind

    def _finished(self, said: Mapping[str, Any], replied: Replied) -> dict[str, JsonValue]:
        answer: dict[str, JsonValue] = {
            "status": replied.status,
            "headers": [[name, value] for name, value in replied.headers],
            "error": replied.error,
            "code": replied.code,
            "failed": replied.failed,
            "url": replied.url,
            "body": None,
            "attachment": "",
        }
        text = HttpReply(replied.status, replied.headers, replied.content).text
        if not said.get("save"):
            answer["body"] = text
            if said.get("kind") == SOAP and replied.status >= 400:
                answer["error"] = _fault(replied.content) or replied.error
        elif replied.failed:
            answer["error"] = text or replied.error
        else:
            self._save(_Saved(*said["save"]), replied, answer)
        return answer

    def _save(self, saved: _Saved, replied: Replied, answer: dict[str, JsonValue]) -> None:
        """Attach the body; what keeps it from that is the answer's error."""
        kind = next((text for name, text in replied.headers if name.lower() == "content-type"), "")
        file = NewFile(
            table=saved.table,
            record=saved.record,
            name=saved.name,
            content_type=kind.partition(";")[0].strip() or "application/octet-stream",
        )
        store = AttachmentStore(self._unit.store)
        try:
            with self._unit.writing(enforce=False) as transaction:
                answer["attachment"] = store.add(transaction, file, replied.content)
        except MidspanError as error:
            answer["error"] = error.message
            answer["failed"] = True


def _pair(value: Any) -> tuple[str, str] | None:
    return (str(value[0]), str(value[1])) if value else None


def _redirects(value: Any) -> tuple[str, ...] | None:
    return None if value is None else tuple(str(each) for each in value)


def _envelope(content: bytes, token: tuple[str, str] | None, mid: str) -> bytes:
    """Return a SOAP body ready to leave, with the token of who sends it where one was set.

    Raises:
        InvalidRequest: it is not well-formed, or its token would lie in the queue of an agent.
    """
    if token is not None and mid:
        raise InvalidRequest(
            "A WS-Security token cannot go through a MID server",
            hint="Its password would be readable in the queue: use setBasicAuth() there.",
        )
    try:
        xml.parse(content)
    except MidspanError as error:
        raise InvalidRequest(
            f"The SOAP envelope is not well-formed: {error.message}",
            hint="Values set with setStringParameter() are escaped, others are not.",
        ) from None
    return content if token is None else with_username_token(content, *token)


def _fault(content: bytes) -> str:
    """Return what a SOAP fault says, or nothing when the body is none."""
    try:
        root = xml.parse(content)
    except MidspanError:
        return ""
    for path in (".//{*}Fault/faultstring", ".//{*}Fault/{*}Reason/{*}Text"):
        found = root.findtext(path)
        if found:
            return str(found).strip()
    return ""
