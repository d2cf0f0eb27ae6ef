"""A request to JSONv2, read: what is to be done, with which parameters and records."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from midspan.api.errors import MethodNotSupported, UnsupportedMediaType
from midspan.api.request import Request
from midspan.api.strict import PREFIX, unknown_parameters
from midspan.api.tablerequest import Display
from midspan.api.tablewrite import as_text
from midspan.formats import JsonValue, lenient_json
from midspan.kernel.errors import InvalidRequest, MalformedBody, did_you_mean

READS = ("get", "getRecords", "getKeys")
WRITES = ("insert", "insertMultiple", "update", "deleteRecord", "deleteMultiple")
KNOWN = frozenset(
    {
        "sysparm_action",
        "sysparm_query",
        "sysparm_sys_id",
        "sysparm_record_count",
        "sysparm_record_scope",
        "sysparm_orderby",
        "sysparm_view",
        "sysparm_tiny",
    }
)
MOST_RECORDS = 10_000
"""That one request may write."""
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
_OWN = "__"
"""What the members of an answer begin with that are no columns."""

Members = dict[str, JsonValue]


class Call(Struct, frozen=True, kw_only=True):
    """What is to be done."""

    action: str
    parameters: Mapping[str, str]
    """Those of the body; they win over those of the address."""
    records: tuple[Members, ...]
    display: Display
    variables: bool
    """Answers to the questions of the catalogue are wanted, too."""
    view: str
    """The view that says the columns of an answer; nothing says all."""
    warnings: tuple[str, ...]


def read_call(request: Request) -> Call:
    """Read a request.

    Raises:
        MalformedBody: the body is no JSON, or not an object.
        UnsupportedMediaType: it is a form.
        InvalidRequest: there is no such action, or too many records.
        MethodNotSupported: the action writes, and the method only reads.
    """
    body = _body(request)
    parameters = {name: as_text(value) for name, value in body.items() if name.startswith(PREFIX)}
    action = _action(request, parameters)
    if action in WRITES and request.method != "POST":
        raise MethodNotSupported(("POST",))
    return Call(
        action=action,
        parameters=parameters,
        records=_records(body),
        display=_display(request),
        variables=request.flag("displayvariables"),
        view=(parameters.get(f"{PREFIX}view") or request.parameter(f"{PREFIX}view")).strip(),
        warnings=unknown_parameters(request, KNOWN),
    )


def _body(request: Request) -> Members:
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if not request.body.strip():
        return {}
    if kind in _FORMS:
        raise UnsupportedMediaType("Unsupported media type", hint="Send application/json.")
    value = lenient_json.parse(request.body)
    if not isinstance(value, dict):
        raise MalformedBody(
            "Expected an object", hint='{"short_description": "…"} or {"records": [{…}, {…}]}'
        )
    return value


def _records(body: Members) -> tuple[Members, ...]:
    """Return the records of a body: its list of them, or the object itself."""
    given = body.get("records", [body])
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise MalformedBody("records is no list of objects", hint='{"records": [{…}, {…}]}')
    if len(given) > MOST_RECORDS:
        raise InvalidRequest(
            f"The request has {len(given)} records, at most {MOST_RECORDS} are taken",
            hint="Send them in several requests.",
        )
    return tuple(_columns(one) for one in given if isinstance(one, dict))


def _columns(record: Members) -> Members:
    return {
        name: value
        for name, value in record.items()
        if not name.startswith(PREFIX) and not name.startswith(_OWN)
    }


def _action(request: Request, parameters: Mapping[str, str]) -> str:
    name = f"{PREFIX}action"
    asked = (parameters.get(name) or request.parameter(name)).strip()
    known = {action.lower(): action for action in (*READS, *WRITES)}
    if asked:
        found = known.get(asked.lower())
        if found is None:
            hint = did_you_mean(asked, known.values()) or f"Known: {', '.join(known.values())}."
            raise InvalidRequest(f"Unsupported action: {asked[:80]}", hint=hint)
        return found
    one = parameters.get(f"{PREFIX}sys_id") or request.parameter(f"{PREFIX}sys_id")
    return "get" if one else "getRecords"


def _display(request: Request) -> Display:
    wanted = request.parameter("displayvalue").strip().lower()
    if not wanted:
        wanted = request.property("glide.json.return_displayValue").strip().lower()
    return Display(wanted) if wanted in ("true", "all") else Display.VALUE
