"""``/api/midspan/v1/acl/explain``: why a user may or may not do something with a record."""

from __future__ import annotations

import msgspec

from midspan.api.description import (
    TEXT,
    Answer,
    Description,
    listed,
    members,
    one_of,
    query,
    result,
    struct,
)
from midspan.api.request import Request
from midspan.api.response import Response, json_response
from midspan.api.router import Role, Route
from midspan.dictionary import FieldPath, Table
from midspan.kernel.errors import (
    InvalidRequest,
    NotAuthenticated,
    NotFound,
    RecordNotFound,
    did_you_mean,
)
from midspan.query import Operator, ReadPlan, Test
from midspan.records import RIGHTS, RecordTransaction
from midspan.security import SYSTEM, Actor
from midspan.security.explain import Explanation, OneRow, explain, paths_for

OPERATIONS = ("read", "write", "create", "delete")


def explain_routes() -> tuple[Route, ...]:
    """Return the route of the explainer."""
    return (
        Route(
            name="acl.explain",
            methods=("GET",),
            path="/api/midspan/v1/acl/explain",
            handler=explain_access,
            access=Role("security_admin"),
            description=_EXPLAIN,
        ),
    )


_EXPLAIN = Description(
    summary="Explain an access decision",
    tag="Administration",
    parameters=(
        query("user", "Name the user signs in with.", required=True),
        query("table", "Name of a table.", required=True),
        query("record", "sys_id of a record."),
        query("field", "Name of a field."),
        query("operation", "What he would do; read.", one_of(*OPERATIONS)),
    ),
    answers={
        200: Answer(
            "The decision with the rules behind it.",
            result(
                {
                    "allOf": [
                        members(("user", "roles"), user=TEXT, roles=listed(TEXT), record=TEXT),
                        struct(Explanation),
                    ]
                }
            ),
        )
    },
    refuses=(400, 404),
)


def explain_access(request: Request) -> Response:
    """Answer the rules that decide about one operation, with what each of them says.

    Raises:
        NotFound: no such user, table or field; names the nearest.
        InvalidRequest: another operation, or the user may not sign in.
    """
    operation = request.parameter("operation") or "read"
    if operation not in OPERATIONS:
        hint = did_you_mean(operation, OPERATIONS) or f"Known: {', '.join(OPERATIONS)}."
        raise InvalidRequest(f"There is no operation {operation[:80]}", hint=hint)
    actor = user_named(request, request.parameter("user"))
    with request.parts.records.read(SYSTEM) as transaction:
        table = _table(transaction, request.parameter("table"))
        sys_id = request.parameter("record")
        if sys_id:
            table = _class_of(transaction, table, sys_id)
        field = request.parameter("field")
        if field and field not in table.fields:
            raise NotFound(
                f"Table {table.name} has no field {field[:80]}",
                hint=did_you_mean(field, table.fields),
            )
        access = request.parts.records.access(actor, transaction.snapshot, transaction.now)
        paths = paths_for(access, table.name, operation, field)
        values = _values(transaction, table, sys_id, paths)
        row = OneRow(lambda path: values.get(path.name, ""), transaction.count_related)
        found = explain(access, table.name, operation, field, row if sys_id else None)
    about = {"user": actor.user_name, "roles": sorted(actor.roles), "record": sys_id}
    return json_response({"result": {**about, **msgspec.to_builtins(found)}})


def _table(transaction: RecordTransaction, name: str) -> Table:
    tables = transaction.dictionary.tables
    if name not in tables:
        raise NotFound(f"There is no table {name[:80]}", hint=did_you_mean(name, tables))
    return tables[name]


def user_named(request: Request, name: str) -> Actor:
    """Return the actor that a user is once he signs in.

    Raises:
        NotFound: there is none of that name; the hint names only somebody whom the caller may read.
        InvalidRequest: he may not sign in.
    """
    identities = request.parts.identities
    sys_id = identities.find(name)
    if sys_id is None:
        with request.parts.records.read(request.actor) as transaction:
            found = transaction.find("sys_user", "", limit=10_000)
        known = [user.get("user_name") for user in found]
        raise NotFound(f"There is no user {name[:80]}", hint=did_you_mean(name, known))
    try:
        return identities.actor(sys_id, request.snapshot.part(RIGHTS))
    except NotAuthenticated as error:
        raise InvalidRequest(
            f"The user {name} may not sign in", hint="He is inactive or locked out."
        ) from error


def _class_of(transaction: RecordTransaction, table: Table, sys_id: str) -> Table:
    record = transaction.load(table.name, (sys_id,)).get(sys_id)
    if record is None:
        raise RecordNotFound(table.name, sys_id)
    return transaction.dictionary.table(record.table)


def _values(
    transaction: RecordTransaction, table: Table, sys_id: str, paths: tuple[FieldPath, ...]
) -> dict[str, str]:
    """Return what the record has where conditions look, also beyond references."""
    if not sys_id or not paths:
        return {}
    own = Test(transaction.dictionary.path(table.name, "sys_id"), Operator.EQUALS, (sys_id,))
    rows = transaction.run(ReadPlan(table=table.name, columns=paths, condition=own))
    return {path.name: text or "" for path, text in zip(paths, rows[0], strict=True)}
