"""Messages through a MID server: a job of the queue, and whoever waits for its answer."""

from __future__ import annotations

import base64
import json
import threading
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from midspan.ecc import CREDENTIAL, Answer, EccMessage, EccQueue, Secrets
from midspan.kernel.errors import InvalidRequest
from midspan.outbound import proof
from midspan.outbound.call import CallRecord, CallSource
from midspan.outbound.message import Asked, Replied
from midspan.records import RecordTransaction
from midspan.security.actor import SYSTEM
from midspan_link.errors import LinkError
from midspan_link.parameters import read_results

if TYPE_CHECKING:
    from midspan.outbound.outbound import Outbound
    from midspan_link.protocol import Secret

TOPIC = "RESTProbe"
PREFIX = "message"
DEFAULT = timedelta(seconds=60)
_ENDED = frozenset({"processed", "error", "cancelled"})
_LOOK = 1.0
"""Seconds after which somebody who waits looks himself: another node may have got the answer."""


class AgentMessages:
    """Sends messages through agents; safe to use from many threads."""

    def __init__(self, outbound: Outbound, queue: EccQueue) -> None:
        self._outbound = outbound
        self._queue = queue
        self._news = threading.Condition()
        queue.register(TOPIC, self._sensed)

    def enqueue(
        self, transaction: RecordTransaction, asked: Asked, agent: str, correlator: str
    ) -> str:
        """Write the job of a message in the caller's transaction; return its id.

        Raises:
            UnknownAgent: no MID server has the name.
            InvalidRequest: the message holds a secret, which no job may carry.
        """
        parameters = {
            "url": asked.url,
            "method": asked.method,
            "headers": json.dumps([list(pair) for pair in asked.headers]),
            "body": base64.b64encode(asked.content).decode(),
            "timeout": str((asked.timeout or DEFAULT).total_seconds()),
        }
        alias = _alias(transaction, asked)
        if alias:
            parameters[CREDENTIAL] = alias
        message = EccMessage(
            topic=TOPIC,
            parameters=parameters,
            agent=agent,
            name=asked.method,
            source=asked.url.partition("?")[0],
            correlator=correlator,
            priority=1,
        )
        return self._queue.send(transaction, message)

    def wait(self, job: str, asked: Asked, within: timedelta) -> Replied:
        """Return the answer to a job; one that does not come in time is an answer, too."""
        left = within.total_seconds()
        replied = self._read(job, asked)
        while replied is None and left > 0:
            with self._news:
                if not self._news.wait(min(left, _LOOK)):
                    left -= _LOOK
            replied = self._read(job, asked)
        if replied is None:
            with self._queue.records.write(SYSTEM, enforce=False) as transaction:
                self._queue.cancel(transaction, job)
            error = f"The MID server gave no response within {within.total_seconds():g} s"
            replied = Replied(error=error, code=1, url=asked.url)
        self._outbound.run(self._outbound.keep(_record(asked, replied)))
        return replied

    def _sensed(self, transaction: RecordTransaction, _: Answer) -> None:
        transaction.after_commit(self._told)

    def _told(self) -> None:
        with self._news:
            self._news.notify_all()

    def _read(self, job: str, asked: Asked) -> Replied | None:
        with self._queue.records.read(SYSTEM, enforce=False) as transaction:
            record = transaction.load("ecc_queue", (job,)).get(job)
            if record is not None and record.get("state") not in _ENDED:
                return None
            found = transaction.find("ecc_queue", f"response_to={job}^queue=input", limit=1)
            payload = ""
            if found:
                payload = transaction.load("ecc_queue", (found[0].sys_id,))[found[0].sys_id].get(
                    "payload"
                )
        if record is None or record.get("state") != "processed":
            error = record.get("error_string") if record else "The job was deleted"
            return Replied(error=error or "The MID server failed", code=4, url=asked.url)
        return _replied(payload, asked)


class MessageSecrets:
    """``Secrets`` that also know how messages prove who asks; ``message:TABLE:ID`` names one."""

    def __init__(self, others: Secrets) -> None:
        self._others = others

    def find(self, transaction: RecordTransaction, alias: str, mid_sys_id: str) -> Secret | None:
        """Return the secret for an alias, or None."""
        prefix, _, place = alias.partition(":")
        if prefix != PREFIX:
            return self._others.find(transaction, alias, mid_sys_id)
        table, _, sys_id = place.partition(":")
        return proof.basic_secret(transaction, table, sys_id)


def _alias(transaction: RecordTransaction, asked: Asked) -> str:
    secret = asked.basic is not None or any(
        name.lower() in ("authorization", "cookie", "proxy-authorization")
        for name, _ in asked.headers
    )
    if secret:
        raise InvalidRequest(
            "A message through a MID server cannot carry a password or token itself",
            hint="Use a basic authentication profile: it is sealed for the MID server.",
        )
    table, sys_id = asked.authority
    if asked.profile is not None:
        kind, sys_id = asked.profile
        table = proof.BASIC_PROFILES if kind == "basic" else kind
    if not sys_id:
        return ""
    if proof.basic_secret(transaction, table, sys_id) is None:
        return ""
    return f"{PREFIX}:{table}:{sys_id}"


def _replied(payload: str, asked: Asked) -> Replied:
    try:
        outputs = read_results(payload).outputs
        pairs = tuple((str(name), str(value)) for name, value in json.loads(outputs["headers"]))
        status, content = int(outputs["status"]), base64.b64decode(outputs["body"])
    except (LinkError, ValueError, KeyError, TypeError):
        return Replied(error="The MID server's answer cannot be read", code=4, url=asked.url)
    path = urlsplit(asked.url).path or "/"
    error = f"Method failed: ({path}) with code: {status}" if status >= 400 else ""
    return Replied(status=status, headers=pairs, content=content, error=error, url=asked.url)


def _record(asked: Asked, replied: Replied) -> CallRecord:
    parts = urlsplit(asked.url)
    return CallRecord(
        connection="MID server",
        source=CallSource(*asked.message),
        key="",
        method=asked.method,
        host=parts.hostname or "",
        path=parts.path,
        sent=len(asked.content),
        status=replied.status or None,
        received=len(replied.content),
        milliseconds=0,
        outcome="answered" if replied.status else "through_agent",
        error=replied.error if not replied.status else "",
    )
