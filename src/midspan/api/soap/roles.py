"""Which roles SOAP asks for besides the access controls of tables and fields.

Source: ``spec/soap.md`` 7. Property ``glide.soap.strict_security`` set to false asks for none.
"""

from __future__ import annotations

from midspan.api.request import Request
from midspan.kernel.errors import NotAuthorized

STRICT = "glide.soap.strict_security"
MAILBOX = "ecc_queue"
_READS = ("soap", "soap_query", "soap_query_update")
_ROLES = {
    "aggregate": _READS,
    "deleteMultiple": ("soap", "soap_delete"),
    "deleteRecord": ("soap", "soap_delete"),
    "get": _READS,
    "getKeys": _READS,
    "getRecords": _READS,
    "insert": ("soap", "soap_create"),
    "insertMultiple": ("soap", "soap_create"),
    "update": ("soap", "soap_update", "soap_query_update"),
}
_MAILBOX = frozenset(_ROLES) - {"update", "deleteMultiple", "aggregate"}
_SCRIPTED = ("soap", "soap_script")
_EVERY = (
    *dict.fromkeys(role for roles in _ROLES.values() for role in roles),
    "soap_ecc",
    "soap_script",
)


def check_operation(request: Request, table: str, operation: str) -> None:
    """Refuse a caller without a role for an operation.

    Raises:
        NotAuthorized: names the roles of which one is needed.
    """
    roles = _ROLES[operation]
    if table == MAILBOX and operation in _MAILBOX:
        roles = (*roles, "soap_ecc")
    _check(request, roles)


def check_scripted(request: Request) -> None:
    """Refuse a call of a scripted service to a caller without a role for it.

    Raises:
        NotAuthorized: names the roles of which one is needed.
    """
    _check(request, _SCRIPTED)


def check_description(request: Request) -> None:
    """Refuse a WSDL or schema to a caller without any SOAP role.

    Raises:
        NotAuthorized: names the roles of which one is needed.
    """
    _check(request, _EVERY)


def _check(request: Request, roles: tuple[str, ...]) -> None:
    strict = request.property(STRICT, "true").strip().lower() != "false"
    if strict and not request.actor.has_role(",".join(roles)):
        raise NotAuthorized(
            "User Not Authorized", detail=f"Needs one of the roles {', '.join(roles)}"
        )
