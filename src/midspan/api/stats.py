"""The Aggregate API: ``/api/now/stats/{table}``."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from msgspec import structs

from midspan.api.description import (
    BOTH,
    FLAG,
    TEXT,
    Answer,
    Description,
    Each,
    listed,
    mapped,
    members,
    query,
    result,
)
from midspan.api.negotiation import response_form
from midspan.api.request import Request
from midspan.api.response import Response
from midspan.api.router import Route, SignedIn, versioned
from midspan.api.statsrequest import KNOWN, StatsRequest, read_stats
from midspan.api.strict import refuse_in_strict_mode, warning_header
from midspan.api.table import STATS, STRICT, answer
from midspan.api.tableread import COUNT_IGNORES_ACL, check_walks, open_table, rendered
from midspan.api.tablerequest import Display, RowShape
from midspan.api.tableview import Column, view_of
from midspan.query import AggregatePlan, ReadOptions, ReadPlan, plan_aggregate
from midspan.query.functions import is_function
from midspan.records import RecordTransaction
from midspan.storage import Row


def stats_routes() -> tuple[Route, ...]:
    """Return the routes of the Aggregate API in all its versions."""
    return versioned(
        Route(
            name="stats",
            methods=("GET",),
            path="/api/now/stats/{table}",
            handler=compute,
            access=SignedIn(),
            description=_COMPUTE,
        )
    )


_EACH = mapped(TEXT)
_FOUND = {
    "title": "Aggregates",
    **members(stats=members(count=TEXT, avg=_EACH, sum=_EACH, min=_EACH, max=_EACH)),
}
_FIELD = members(("field", "value"), field=TEXT, value=TEXT, display_value=TEXT)
_GROUP = members(("stats", "groupby_fields"), stats={}, groupby_fields=listed(_FIELD))
_COMPUTE = Description(
    summary="Count and compute",
    tag="Aggregate API",
    each=Each.TABLE,
    right="read",
    parameters=(
        *STATS,
        query("sysparm_count", "Count the rows.", FLAG),
        *(
            query(f"sysparm_{name}_fields", f"Fields to compute the {name} of.")
            for name in ("avg", "sum", "min", "max")
        ),
        query("sysparm_group_by", "Fields whose values make the groups."),
        query("sysparm_having", "Tests of groups: function^field^operator^value, by commas."),
        query("sysparm_order_by", "Keys that sort the groups."),
        STRICT,
    ),
    answers={
        200: Answer(
            "Aggregates of all rows, or of each group.",
            result({"anyOf": [_FOUND, listed(_GROUP)]}),
            BOTH,
            ("X-Midspan-Warning",),
        )
    },
    refuses=(400, 403, 406),
)


def compute(request: Request) -> Response:
    """Answer the aggregates of a table: of all rows, or of each group.

    Raises:
        NotAuthorized: the actor may read no row of the table, or not a field that is used.
    """
    form = response_form(request)
    records, snapshot = request.parts.records, request.snapshot
    table = open_table(snapshot, request.arguments["table"])
    wanted = read_stats(request, snapshot.dictionary, table.name)
    now = request.parts.clock.now()
    options = ReadOptions(
        columns=wanted.groups,
        unknown=wanted.unknown,
        values=records.session_values(request.actor, now),
    )
    plan = plan_aggregate(
        snapshot.dictionary, table.name, wanted.query, wanted.aggregates, options, wanted.grouping
    )
    access = records.access(request.actor, snapshot, now)
    seen = access.restrict_groups(plan)
    check_walks(ReadPlan(table=seen.table, columns=seen.used, condition=seen.condition))
    warnings = [*wanted.warnings, *plan.warnings]
    refuse_in_strict_mode(request, warnings, KNOWN)
    with records.read(request.actor) as transaction:
        transaction.use(snapshot)
        rows = transaction.aggregate(seen)
        if not seen.group_by:
            every_row = ReadPlan(
                table=plan.table, columns=(), condition=access.guarded(plan.condition)
            )
            result: object = _total(request, transaction, plan, rows, every_row)
        else:
            rows, cut = _cut(seen, rows)
            warnings += cut
            refuse_in_strict_mode(request, cut)
            result = _grouped(request, transaction, seen, rows, wanted)
    return answer(result, form, headers=warning_header(warnings))


def _total(
    request: Request,
    transaction: RecordTransaction,
    plan: AggregatePlan,
    rows: Sequence[Row],
    every_row: ReadPlan,
) -> dict[str, object]:
    """Return the aggregates of all rows; the count is the one that a list would announce."""
    stats = _stats(plan, rows[0]) if rows else {}
    if "count" in stats and request.property_flag(COUNT_IGNORES_ACL):
        stats["count"] = str(transaction.count(every_row))
    return {"stats": stats}


def _cut(plan: AggregatePlan, rows: list[Row]) -> tuple[list[Row], list[str]]:
    """Leave out the one group too many that tells that there are more."""
    if plan.limit is None or len(rows) < plan.limit:
        return rows, []
    most = plan.limit - 1
    return rows[:most], [f"There are more groups than the {most} that are shown"]


def _grouped(
    request: Request,
    transaction: RecordTransaction,
    plan: AggregatePlan,
    rows: Sequence[Row],
    wanted: StatsRequest,
) -> list[dict[str, object]]:
    fields: list[list[dict[str, object]]]
    if wanted.display is Display.VALUE:
        fields = [_stored_fields(plan, row) for row in rows]
    else:
        fields = _shown_fields(request, transaction, plan, rows, wanted.display)
    return [
        {"stats": _stats(plan, row), "groupby_fields": names}
        for row, names in zip(rows, fields, strict=True)
    ]


def _stats(plan: AggregatePlan, row: Row) -> dict[str, object]:
    stats: dict[str, object] = {}
    members: dict[str, dict[str, str]] = {}
    for aggregate, text in zip(plan.aggregates, row[len(plan.group_by) :], strict=False):
        if aggregate.path is None:
            stats["count"] = text
            continue
        name = aggregate.function.lower()
        stats[name] = members.setdefault(name, {})
        average = aggregate.function == "AVG" and text
        members[name][aggregate.path.name] = f"{Decimal(text):.4f}" if average else text or ""
    return stats


def _stored_fields(plan: AggregatePlan, row: Row) -> list[dict[str, object]]:
    return [
        {"field": path.name, "value": text or ""}
        for path, text in zip(plan.group_by, row, strict=False)
    ]


def _shown_fields(
    request: Request,
    transaction: RecordTransaction,
    plan: AggregatePlan,
    rows: Sequence[Row],
    display: Display,
) -> list[list[dict[str, object]]]:
    """Render the group values as the Table API renders columns of these names."""
    names = tuple(path.name for path in plan.group_by)
    fields = tuple(name for name in names if not is_function(name))
    shape = RowShape(fields=fields, display=Display.BOTH, links=False)
    view = view_of(transaction.dictionary, plan.table, shape)
    known = {column.name: structs.replace(column, joined=None) for column in view.columns}
    alone = tuple(known.get(path.name) or Column(path.name, path) for path in plan.group_by)
    page = ReadPlan(table=plan.table, columns=plan.group_by)
    values = [row[: len(names)] for row in rows]
    shown = rendered(request, transaction, structs.replace(view, columns=alone), page, values)
    return [
        [_field(name, row[name], both=display is Display.BOTH) for name in names] for row in shown
    ]


def _field(name: str, value: object, *, both: bool) -> dict[str, object]:
    pair = value if isinstance(value, dict) else {"display_value": "", "value": ""}
    if both:
        return {"display_value": pair["display_value"], "field": name, "value": pair["value"]}
    return {"field": name, "value": pair["display_value"]}
