"""The instance does what its OpenAPI document says: schemathesis makes requests and compares.

For each operation of an administrator's and of a plain user's document it makes valid and invalid
requests, from a fixed seed; half of those about a record name one that exists. No answer may be
500 or other than described. ``MIDSPAN_EXAMPLES=200`` in the environment makes more of them.
"""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import SearchStrategy
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.python import asgi
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from midspan.instance import Instance
from midspan.kernel.clock import ManualClock
from midspan.records import insert, update
from midspan.security import SYSTEM
from midspan.testing import open_instance

ADMIN = "6816f79cc0a8016401c5a33be04be441"
PASSWORD = "correct horse"
BASE = "http://inst.example.com"
EXAMPLES = int(os.environ.get("MIDSPAN_EXAMPLES", "7"))
"""For each operation, once right and once wrong; so both users take a minute of a processor."""
RECORDS = {
    "incident": "b" * 32,
    "sys_user": "c" * 32,
    "cmdb_ci_computer": "d" * 32,
    "api_key": "e" * 32,
}
TABLES = (*RECORDS, "sys_attachment", "sys_audit", "sys_journal_field")
ALWAYS = (not_a_server_error, status_code_conformance)
WITH_BODY = (content_type_conformance, response_headers_conformance, response_schema_conformance)
FAULT, UNEXPECTED = b"</SOAP-ENV:Fault>", b"Unexpected error"
"""SOAP 1.1 wants status 500 for every fault; a defect still counts as one."""
SETTINGS = settings(
    max_examples=EXAMPLES,
    database=None,
    derandomize=True,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


class Conversation:
    """An instance that is asked as one user, and what it answered other than described."""

    def __init__(self, instance: Instance, clock: ManualClock, client: Any, user: str) -> None:
        self._instance = instance
        self._clock = clock
        self._client = client
        self._turns = itertools.count()
        self._user = user
        self.problems: dict[str, str] = {}
        self.statuses: Counter[int] = Counter()

    def document(self) -> Any:
        """Return the user's document, with the paths of a few tables."""
        self._client.auth = (self._user, PASSWORD)
        answer = self._client.get(f"{BASE}/api/now/doc/openapi?tables={','.join(TABLES)}")
        schema = schemathesis.openapi.from_dict(answer.json())
        schema.config.generation.update(with_security_parameters=False)
        return schema

    def ask(self, operation: Any) -> None:
        """Make requests for one operation."""
        modes = [GenerationMode.POSITIVE]
        if can_be_wrong(operation):
            modes.append(GenerationMode.NEGATIVE)
        for mode in modes:
            self._renew()
            # Nobody waits for the throttle of sign-ins, which is not what is tested.
            self._clock.advance(timedelta(hours=1))
            strategy: SearchStrategy[Any] = operation.as_strategy(generation_mode=mode)
            run = cast(Callable[[], None], SETTINGS(given(strategy)(self._send)))
            try:
                run()
            except Unsatisfiable:
                assert mode is GenerationMode.NEGATIVE, operation.label  # nothing can be wrong

    def _send(self, case: Any) -> None:
        self._client.cookies.clear()
        known = RECORDS.get(case.path.split("/")[4]) if case.path.count("/") > 4 else None
        if known and "sys_id" in case.path_parameters and next(self._turns) % 2:
            case.path_parameters["sys_id"] = known
        answer = case.call(base_url=BASE, session=self._client)
        self.statuses[answer.status_code] += 1
        silent = (case.headers or {}).get("X-no-response-body") == "true"
        checks: tuple[Any, ...] = (
            ALWAYS if silent and answer.status_code < 300 else (*ALWAYS, *WITH_BODY)
        )
        if FAULT in answer.content and UNEXPECTED not in answer.content:
            checks = tuple(check for check in checks if check is not not_a_server_error)
        try:
            case.validate_response(answer, checks=list(checks))
        except FailureGroup as group:
            label = f"{case.operation.label} {answer.status_code}"
            self.problems.setdefault(
                label, str(group.exceptions[0]) + case.as_curl_command()[:2000]
            )

    def _renew(self) -> None:
        with self._instance.records.write(SYSTEM, enforce=False) as records:
            for table, sys_id in RECORDS.items():
                if records.get(table, sys_id) is None:
                    values = {"user": ADMIN, "name": "x"} if table == "api_key" else {}
                    records.apply(insert(table, values, sys_id=sys_id))


def can_be_wrong(operation: Any) -> bool:
    """Tell whether a request can differ from its description and still be that operation's.

    It cannot where all that is described is free text in path and headers; schemathesis tries five
    hundred times to find that out, which took a quarter of this test.
    """
    texts = [*operation.path_parameters, *operation.headers]
    return bool(
        operation.query
        or operation.body
        or any(header.is_required for header in operation.headers)
        or any(one.raw_schema.get("type") != "string" for one in texts)
        or any(not one.raw_schema.keys() <= {"type", "minLength"} for one in texts)
    )


@pytest.mark.parametrize("user", ["admin", "ann"])
def test_the_instance_does_what_its_document_says(user: str) -> None:
    clock = ManualClock()
    with open_instance(clock=clock) as instance:
        with instance.records.write(SYSTEM, enforce=False) as records:
            records.apply(update("sys_user", ADMIN, {"user_password": PASSWORD}))
            values = {"user_name": "ann", "name": "Ann", "user_password": PASSWORD}
            records.apply(insert("sys_user", values))
        app = instance.application()
        asked = 0
        try:
            with asgi.get_client(cast(Any, app)) as client:
                tested = Conversation(instance, clock, client, user)
                for operation in tested.document().get_all_operations():
                    tested.ask(operation.ok())
                    asked += 1
        finally:
            app.close()
    assert not tested.problems, "\n\n".join(f"{k}\n{v}" for k, v in tested.problems.items())
    assert asked > (100 if user == "admin" else 50)
    assert {200, 400, 404} <= tested.statuses.keys()
    assert tested.statuses[401] < sum(tested.statuses.values()) / 3
