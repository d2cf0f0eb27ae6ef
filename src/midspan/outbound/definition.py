"""REST and SOAP messages as records define them, with everything that a call inherits."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from midspan.kernel.errors import InvalidDefinition, NotFound, did_you_mean
from midspan.records import Record, RecordTransaction

REST, SOAP = "rest", "soap"
_INHERITS = "inherit_from_parent"


class Definition(Struct, frozen=True, kw_only=True):
    """One function of a message; texts still hold their variables, ``${name}``, and no secret.

    ``escaped`` names the variables whose values are escaped for XML whatever the script says.
    """

    table: str
    record: str
    """The function: what the log names as the source of a call."""
    authority: tuple[str, str]
    """Table and id of the record that says how a call proves who asks."""
    method: str
    endpoint: str
    content: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    parameters: tuple[tuple[str, str], ...] = ()
    escaped: tuple[str, ...] = ()
    soap_action: str = ""
    mutual: str = ""
    """The protocol profile whose certificate its calls show; empty: none."""
    mid_server: str = ""
    """Name of the MID server that carries the calls."""


def find_definition(
    transaction: RecordTransaction, kind: str, message: str, function: str
) -> Definition:
    """Return the function of a message; names count without regard to case.

    Raises:
        NotFound: there is no such message or function, with the nearest name.
    """
    return (_soap if kind == SOAP else _rest)(transaction, message, function)


def _rest(transaction: RecordTransaction, message: str, function: str) -> Definition:
    parent = _named(transaction, "sys_rest_message", "name", message, "", "REST message")
    one = _named(
        transaction,
        "sys_rest_message_fn",
        "function_name",
        function,
        f"rest_message={parent.sys_id}^",
        f"HTTP method of REST message {message!r}:",
    )
    own = f"rest_message_function={one.sys_id}^ORDERBYname"
    headers = _pairs(
        transaction.find("sys_rest_message_headers", f"rest_message={parent.sys_id}^ORDERBYname")
    )
    headers.update(_pairs(transaction.find("sys_rest_message_fn_headers", own)))
    parameters = transaction.find(
        "sys_rest_message_fn_param_defs",
        f"rest_message_function={one.sys_id}^ORDERBYorder^ORDERBYname",
    )
    variables = transaction.find("sys_rest_message_fn_parameters", own)
    inherits = one.get("authentication_type") in ("", _INHERITS)
    authority = parent if inherits else one
    return Definition(
        table="sys_rest_message_fn",
        record=one.sys_id,
        authority=(authority.table, authority.sys_id),
        method=(one.get("http_method") or one.get("function_name") or "get").upper(),
        endpoint=one.get("rest_endpoint") or parent.get("rest_endpoint"),
        content=one.get("content"),
        headers=tuple(headers.values()),
        parameters=tuple((each.get("name"), each.get("value")) for each in parameters),
        escaped=_escaped(variables),
        mutual=_mutual(authority),
        mid_server=_agent(transaction, one),
    )


def _soap(transaction: RecordTransaction, message: str, function: str) -> Definition:
    parent = _named(transaction, "sys_soap_message", "name", message, "", "SOAP message")
    one = _named(
        transaction,
        "sys_soap_message_function",
        "function_name",
        function,
        f"soap_message={parent.sys_id}^",
        f"function of SOAP message {message!r}:",
    )
    variables = transaction.find(
        "sys_soap_message_parameters", f"soap_message_function={one.sys_id}^ORDERBYname"
    )
    return Definition(
        table="sys_soap_message_function",
        record=one.sys_id,
        authority=(parent.table, parent.sys_id),
        method="POST",
        endpoint=one.get("soap_endpoint") or parent.get("soap_endpoint"),
        content=one.get("envelope"),
        escaped=_escaped(variables),
        soap_action=one.get("soap_action"),
        mutual=_mutual(parent),
        mid_server=_agent(transaction, one),
    )


def _named(
    transaction: RecordTransaction, table: str, column: str, name: str, within: str, kind: str
) -> Record:
    if name and "^" not in name:
        found = transaction.find(table, f"{within}{column}={name}^ORDERBYsys_created_on", limit=1)
        if found:
            return transaction.load(table, (found[0].sys_id,))[found[0].sys_id]
    known = [each.get(column) for each in transaction.find(table, within.rstrip("^"))]
    hint = did_you_mean(name, known) or (
        f"There are: {', '.join(sorted(known)[:20])}." if known else f"Define one in {table}."
    )
    raise NotFound(f"There is no {kind} {name!r}".replace(":", ""), hint=hint)


def _pairs(records: Iterable[Record]) -> dict[str, tuple[str, str]]:
    """Return names and values by the name in lower case."""
    return {
        each.get("name").lower(): (each.get("name"), each.get("value"))
        for each in records
        if each.get("name")
    }


def _escaped(variables: Iterable[Record]) -> tuple[str, ...]:
    return tuple(each.get("name") for each in variables if each.get("type") == "xml_escaping")


def _mutual(record: Record) -> str:
    """Return the protocol profile that a message shows a certificate by.

    Raises:
        InvalidDefinition: it asks for one and names none.
    """
    if record.get("use_mutual_auth") != "true":
        return ""
    if not record.get("protocol_name"):
        raise InvalidDefinition(
            "The message uses mutual authentication and has no protocol profile",
            hint="Set protocol_name, or clear use_mutual_auth.",
        )
    return record.get("protocol_name")


def _agent(transaction: RecordTransaction, function: Record) -> str:
    wanted = function.get("use_mid_server")
    if not wanted:
        return ""
    agent = transaction.load("ecc_agent", (wanted,)).get(wanted)
    if agent is None:
        raise InvalidDefinition(
            f"The MID server of {function.get('function_name')!r} does not exist",
            hint="Choose another one, or none.",
        )
    return agent.get("name")
