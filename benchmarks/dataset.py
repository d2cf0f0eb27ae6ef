"""The data that both peers serve, and the very SQL that Midspan runs for the requests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from midspan.api.tablerequest import Display, RowShape
from midspan.api.tableview import view_of
from midspan.instance import Instance
from midspan.kernel.settings import Settings
from midspan.query import Query, ReadOptions, parse, plan_read
from midspan.records import RIGHTS, RecordTransaction, insert, prepare_read, update
from midspan.security import SYSTEM
from midspan.storage import Statement, compile_count, compile_read
from midspan.storage.postgres import native

USER, PASSWORD = "bench.user", "Bench-password-1"
CALLER = "bench.person.1"
"""A user without any role: sees the incidents that he called in, by a condition on the row."""
TABLE = "incident"
COLUMNS = (
    "sys_id",
    "number",
    "short_description",
    "description",
    "state",
    "priority",
    "urgency",
    "impact",
    "category",
    "active",
    "caller_id",
    "assigned_to",
    "assignment_group",
    "cmdb_ci",
    "opened_at",
    "sys_created_on",
    "sys_created_by",
    "sys_updated_on",
    "sys_updated_by",
    "sys_mod_count",
)
SHOWN = tuple(name for name in COLUMNS if name != "cmdb_ci")
"""Columns of the list with display values, three references among them."""
POSTED = "posted by the benchmark"
IDS_USED = 2000
BLOCK = 1000


@dataclass(frozen=True)
class ListJob:
    """One kind of list: who asks for what."""

    name: str
    priority: int
    limit: int = 100
    user: str = USER
    columns: tuple[str, ...] = COLUMNS
    display: Display = Display.VALUE

    @property
    def query(self) -> str:
        """The encoded query; both values of the priority fit the same number of incidents."""
        return f"active=true^priority={self.priority}^ORDERBYDESCopened_at"

    @property
    def parameters(self) -> str:
        """The query string of its request."""
        query = self.query.replace("^", "%5E").replace("=", "%3D")
        return (
            f"sysparm_query={query}&sysparm_limit={self.limit}"
            f"&sysparm_fields={','.join(self.columns)}&sysparm_display_value={self.display.value}"
            "&sysparm_exclude_reference_link=true"
        )


LISTS = (
    ListJob("list of 100", 3),
    ListJob("list of 1,000", 3, limit=1000),
    ListJob("100, row ACL", 2, user=CALLER),
    ListJob("100, all", 3, columns=SHOWN, display=Display.BOTH),
)

Sql = tuple[str, list[Any]]


@dataclass(frozen=True)
class ListWork:
    """The SQL of a list, and for each member of its objects where the row has what is shown.

    ``shown`` has the place of the value and, with display values, that of the text or the labels.
    """

    page: Sql
    count: Sql
    shown: list[tuple[str, int, int | None, dict[str, str] | None]]
    both: bool


@dataclass(frozen=True)
class LimitWork:
    """What the limit application runs: native SQL with parameters, JSON-ready.

    ``{sys_id}``, ``{number}`` and ``{text}`` as parameters stand for values of the request at hand.
    """

    get: Sql
    insert: Sql
    update: Sql
    columns: list[str]
    lists: dict[str, ListWork]
    """By the query string of the request."""


@dataclass(frozen=True)
class Dataset:
    """A filled instance: records to ask for and the statements behind the requests."""

    sys_ids: list[str]
    body: dict[str, str]
    work: LimitWork


def fill(data: Path, database: str, records: int) -> Dataset:
    """Make an instance with a user of role itil and so many incidents; describe it."""
    with _opened(data, database) as instance:
        people = _people(instance)
        _incidents(instance, people, records)
        body = _body(0, people) | {"short_description": POSTED}
        with instance.records.read(SYSTEM, enforce=False) as transaction:
            found = transaction.run(
                plan_read(
                    transaction.dictionary,
                    TABLE,
                    Query(),
                    ReadOptions(columns=("sys_id",), limit=IDS_USED),
                )
            )
        return Dataset([row[0] for row in found], body, _work(instance, body))


@contextmanager
def _opened(data: Path, database: str) -> Iterator[Instance]:
    instance = Instance(Settings(data=data, database=database))
    try:
        yield instance
    finally:
        instance.close()


def _people(instance: Instance) -> list[str]:
    """Make the user who asks, and twenty people that incidents refer to; one of them asks, too."""
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        role = transaction.first("sys_user_role", "name=itil")
        if role is None:
            raise LookupError("The instance has no role itil")
        asking = _person(transaction, USER)
        transaction.apply(insert("sys_user_has_role", {"user": asking, "role": role.sys_id}))
        return [_person(transaction, f"bench.person.{n}") for n in range(20)]


def _person(transaction: RecordTransaction, name: str) -> str:
    password = {"user_password": PASSWORD} if name in (USER, CALLER) else {}
    values = {"user_name": name, "name": f"Person {name}", "active": "true", **password}
    return transaction.apply(insert("sys_user", values)).sys_id


def _incidents(instance: Instance, people: Sequence[str], records: int) -> None:
    for start in range(0, records, BLOCK):
        changes = [
            insert(TABLE, _body(n, people)) for n in range(start, min(start + BLOCK, records))
        ]
        with instance.records.write(SYSTEM, enforce=False) as transaction:
            transaction.apply_all(changes)


def _body(number: int, people: Sequence[str]) -> dict[str, str]:
    return {
        "short_description": f"Disk {number % 97} of host {number} is nearly full",
        "description": f"The monitor saw {80 + number % 20} percent used. " * 5,
        "urgency": str(1 + number % 3),
        "impact": str(1 + number // 3 % 3),
        "priority": str(1 + number % 5),
        "state": str(1 + number % 3),
        "active": "true" if number % 4 else "false",
        "category": ("hardware", "software", "network")[number % 3],
        "caller_id": people[number % 20],
        "assigned_to": people[number * 7 % 20],
        "opened_at": f"2026-0{1 + number % 9}-1{number % 10} {number % 24:02}:{number % 60:02}:00",
    }


class _Noted:
    """A database transaction that remembers the writes that pass through it."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.writes: list[Sql] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def execute(self, sql: str, params: Sequence[Any] = ()) -> int:
        """Run a statement and note it."""
        self.writes.append((sql, list(params)))
        return int(self._inner.execute(sql, params))


def _work(instance: Instance, body: dict[str, str]) -> LimitWork:
    """Take the statements from Midspan's compiler and writer, as the asking user gets them."""
    snapshot = instance.holder.current()
    person = instance.identities.sign_in(USER, PASSWORD, snapshot.part(RIGHTS))
    dialect = instance.database.dialect
    with instance.database.write() as database:
        noted = _Noted(database)
        transaction = RecordTransaction(instance.records, noted, person, enforce=True)
        made = transaction.apply(insert(TABLE, body))
        transaction.apply(update(TABLE, made.sys_id, {"short_description": "{text}"}))
    marks = {made.sys_id: "{sys_id}", made.values["number"]: "{number}"}
    physical = dialect.quote(snapshot.dictionary.table(TABLE).physical)

    def ready(sql: str, params: Sequence[Any]) -> Sql:
        text = native(sql) if dialect.name == "postgresql" else sql
        return text, [marks.get(v, v) if isinstance(v, str) else v for v in params]

    def written(start: str) -> Sql:
        return ready(*next(one for one in noted.writes if one[0].startswith(start)))

    access = instance.records.access(person, snapshot, instance.clock.now())
    one = prepare_read(snapshot, access, dialect, TABLE, COLUMNS)
    return LimitWork(
        get=ready(one.sql, one.params(made.sys_id)),
        insert=written(f"INSERT INTO {physical}"),
        update=written(f"UPDATE {physical}"),
        columns=[path.name for path in one.plan.columns],
        lists={job.parameters: _list_work(instance, job) for job in LISTS},
    )


def _list_work(instance: Instance, job: ListJob) -> ListWork:
    snapshot, dialect = instance.holder.current(), instance.database.dialect
    known = snapshot.dictionary
    person = instance.identities.sign_in(job.user, PASSWORD, snapshot.part(RIGHTS))
    access = instance.records.access(person, snapshot, instance.clock.now())
    view = view_of(known, TABLE, RowShape(fields=job.columns, display=job.display, links=False))
    options = ReadOptions(columns=view.names, limit=job.limit)
    plan = access.restrict(plan_read(known, TABLE, parse(job.query), options))
    places = {path.name: place for place, path in enumerate(plan.columns)}

    def ready(statement: Statement) -> Sql:
        text = native(statement.sql) if dialect.name == "postgresql" else statement.sql
        return text, list(statement.params)

    return ListWork(
        page=ready(compile_read(plan, known, dialect)),
        count=ready(compile_count(plan, known, dialect)),
        shown=[
            (
                column.name,
                places[column.name],
                places[column.joined.name] if column.joined else None,
                {choice.value: choice.label for choice in column.field.choices} or None,
            )
            for column in view.columns
            if column.name in places
        ],
        both=job.display is Display.BOTH,
    )
