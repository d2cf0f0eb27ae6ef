"""Random dictionaries, records and questions, and a plain reader that answers them in memory."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from midspan.dictionary import Dictionary, FieldPath, FieldSpec, Storage, Strategy, TableSpec
from midspan.query import (
    ALWAYS,
    And,
    Condition,
    Form,
    Operator,
    Or,
    Order,
    Query,
    Related,
    RelatedTerm,
    Term,
    evaluate,
    in_order,
)
from midspan.query.comparison import measure, measured
from midspan.query.moments import RELATIVE
from midspan.query.plan import ReadPlan
from midspan.query.related import OPPOSITE
from midspan.security import Actor, SessionValues

Record = dict[str, str]
"""Wire texts by field name, with ``sys_id`` and ``class``."""

TYPES = {
    "text": "string",
    "code": "char",
    "whole": "integer",
    "amount": "decimal",
    "flag": "boolean",
    "moment": "glide_date_time",
    "day": "glide_date",
}
LETTERS = "aAbBßẞİiıΣσςΑαéÉ%_\\'\" ?^,@𐐀𐐨zZ"  # noqa: RUF001
TEXTS = st.text(alphabet=LETTERS, max_size=4)
VALUES: dict[str, st.SearchStrategy[str]] = {
    "text": TEXTS,
    "code": st.text(alphabet="aAbB1", max_size=3),
    "whole": st.one_of(st.integers(-3, 12), st.integers(-(2**63) + 1, 2**63 - 1)).map(str),
    "amount": st.sampled_from(
        ["0", "-1.5", "1.5", "2", "10", "0.1", "100", "9007199254740993.1", "1" + "0" * 40]
    ),
    "flag": st.sampled_from(["true", "false"]),
    "moment": st.integers(0, 400).map(
        lambda hours: str(datetime(2026, 1, 1) + timedelta(hours=hours))
    ),
    "day": st.integers(0, 40).map(
        lambda days: str(datetime(2026, 1, 1) + timedelta(days=days))[:10]
    ),
}
REFERENCES = ("parent_link", "person")


@dataclass(frozen=True)
class World:
    """A dictionary and its records by sys_id."""

    dictionary: Dictionary
    records: dict[str, Record]

    def rows(self, table: str) -> list[Record]:
        classes = self.dictionary.table(table).classes
        return [record for record in self.records.values() if record["class"] in classes]

    def get(self, record: Record, path: FieldPath) -> str:
        """Walk as a reader would: a reference to another class leads nowhere."""
        here: Record | None = record
        for position, (table, field) in enumerate(zip(path.tables, path.steps, strict=True)):
            if here is None or not self.dictionary.is_a(here["class"], table):
                return ""
            value = here["class"] if field.name == "sys_class_name" else here.get(field.name, "")
            if position == len(path.steps) - 1:
                return value
            here = self.records.get(value)
        return ""

    def holds(self, condition: Condition, record: Record) -> bool:
        """Decide a resolved condition on one record."""
        return evaluate(condition, partial(self.get, record), count=self.count)

    def count(self, related: Related, own: str) -> int:
        """Count related rows as a reader would: look at every row of the other table."""
        how = measure(related.own.field, related.other.field)
        wanted = measured(how, related.own.field, own)
        return sum(
            measured(how, related.other.field, text) == wanted
            for row in self.rows(related.table)
            if (text := self.get(row, related.other)) and self.holds(related.condition, row)
        )


def tables(strategy: Strategy, person: Strategy, *more: TableSpec) -> Dictionary:
    """A hierarchy of four classes beside a table of people, each with fields of all storages."""
    fields = tuple(FieldSpec(name=name, type=kind) for name, kind in TYPES.items())
    people = FieldSpec(name="person", type="reference", reference="person")
    return Dictionary.build(
        [
            TableSpec(
                name="base",
                extendable=True,
                strategy=strategy,
                fields=(
                    *fields,
                    FieldSpec(name="parent_link", type="reference", reference="middle"),
                    people,
                ),
            ),
            TableSpec(
                name="middle",
                extends="base",
                fields=(FieldSpec(name="own"), FieldSpec(name="worth", type="decimal")),
            ),
            TableSpec(
                name="leaf", extends="middle", fields=(FieldSpec(name="extra", type="integer"),)
            ),
            TableSpec(
                name="other", extends="base", fields=(FieldSpec(name="own", type="integer"),)
            ),
            TableSpec(
                name="person",
                extendable=True,
                strategy=person,
                fields=(FieldSpec(name="name", display=True), people),
            ),
            TableSpec(
                name="agent", extends="person", fields=(FieldSpec(name="rank", type="integer"),)
            ),
            *more,
        ]
    )


TAGS = (
    TableSpec(name="label", extendable=True, fields=(FieldSpec(name="name", display=True),)),
    TableSpec(
        name="label_entry",
        extendable=True,
        fields=(
            FieldSpec(name="label", type="reference", reference="label"),
            FieldSpec(name="table", type="table_name"),
            FieldSpec(name="table_key", type="char"),
        ),
    ),
)


DICTIONARIES = [tables(first, second) for first in Strategy for second in Strategy]
CLASSES = ("base", "middle", "leaf", "other", "person", "agent")


def field_values(name: str) -> st.SearchStrategy[str]:
    if name == "own":
        return st.one_of(VALUES["whole"], TEXTS)
    aliases = {"name": "text", "extra": "whole", "rank": "whole", "worth": "amount"}
    return VALUES[aliases.get(name, name)]


def sys_id(number: int) -> str:
    return f"{number:032x}"


@st.composite
def worlds(draw: st.DrawFn) -> World:
    dictionary = draw(st.sampled_from(DICTIONARIES))
    count = draw(st.integers(3, 12))
    records: dict[str, Record] = {}
    for number in range(count):
        cls = draw(st.sampled_from(CLASSES))
        record = {"sys_id": sys_id(number), "class": cls}
        for name, field in dictionary.table(cls).fields.items():
            if name.startswith("sys_") or draw(st.integers(0, 3)) == 0:
                continue
            if name in REFERENCES:
                record[name] = sys_id(draw(st.integers(0, count)))
            elif name == "own" and field.storage is Storage.INTEGER:
                record[name] = draw(VALUES["whole"])
            else:
                record[name] = draw(TEXTS if name == "own" else field_values(name))
        records[record["sys_id"]] = record
    return World(dictionary, records)


NAMES = (
    *TYPES,
    *REFERENCES,
    "own",
    "extra",
    "sys_id",
    "sys_class_name",
    "name",
    "rank",
    "parent_link.text",
    "parent_link.amount",
    "parent_link.own",
    "parent_link.sys_class_name",
    "parent_link.person",
    "parent_link.person.name",
    "person.name",
    "person.person.name",
    "ref_middle.own",
    "ref_middle.worth",
    "ref_other.own",
    "ref_leaf.extra",
    "ref_leaf.parent_link.moment",
    "ref_agent.rank",
    "missing",
)
OPERATORS = tuple(
    operator
    for operator in Operator
    if operator not in (Operator.CHANGES, Operator.CHANGES_FROM, Operator.CHANGES_TO)
)


BETWEEN_FIELDS = (
    *(Operator.SAME_AS, Operator.NOT_SAME_AS, Operator.GREATER_FIELD, Operator.LESS_FIELD),
    *(Operator.GREATER_OR_EQUAL_FIELD, Operator.LESS_OR_EQUAL_FIELD),
)
ZOE = Actor(
    sys_id="f" * 32,
    user_name="aB",
    time_zone="Europe/Berlin",
    groups=frozenset({sys_id(3), sys_id(5), sys_id(7)}),
)
OPTIONS = {
    sys_id(1): "gs.getUser().getMyGroups()",
    sys_id(2): "gs.getUserName()",
    sys_id(3): "gs.daysAgo(2)",
    sys_id(4): "new Unknown().list()",
}
SESSION = SessionValues(ZOE, datetime(2026, 1, 9, 23, 30, tzinfo=UTC), options=OPTIONS)
"""Already the tenth where this user is."""
CALLS = (
    "gs.nowDateTime()",
    "gs.beginningOfToday()",
    "gs.endOfLastWeek()",
    "gs.daysAgo(2)",
    "gs.hoursAgoStart(-3)",
    "gs.dateGenerate('2026-01-05','end')",
    "gs.dateGenerate('2026-01-10 08:00:00')",
    "gs.unknown()",
)
DISTANCES = st.builds(
    "@{}@{}@{}".format,
    st.sampled_from(("minute", "hour", "dayofweek", "week", "month", "year", "eon")),
    st.sampled_from(("ago", "ahead")),
    st.integers(0, 40),
)


PARTS = st.builds(
    "label@javascript:gs.datePart('{}','{}','{}')".format,
    st.sampled_from(("hour", "dayofweek", "week", "month", "quarter", "year", "decade")),
    st.sampled_from(("0", "1", "2", "9", "23", "2026", "monday", "Friday", "jan", "june")),
    st.sampled_from(("EE", "GE", "LE", "GT", "LT", "XX")),
)
PERIODS = ("minute", "hour", "day", "dayofweek", "week", "month", "quarter", "year")
DATES = ("moment", "day", "parent_link.moment", "ref_leaf.parent_link.moment", "text")
APART = st.builds(
    "{}@{}@{}@{}".format,
    st.sampled_from(("moment", "parent_link.moment", "ref_leaf.parent_link.moment", "day")),
    st.sampled_from(("minute", "hour", "dayofweek", "week", "month", "quarter", "year")),
    st.sampled_from(("before", "after")),
    st.sampled_from((1, 2, 3, 24, 900)),
)


@st.composite
def terms(draw: st.DrawFn) -> Term:
    name = draw(st.sampled_from(NAMES))
    operator = draw(st.sampled_from(OPERATORS))
    last = name.rpartition(".")[2]
    if last in REFERENCES:
        one = st.one_of(st.integers(0, 9).map(sys_id), TEXTS)
    elif last in ("sys_id", "sys_class_name"):
        one = st.one_of(st.integers(0, 9).map(sys_id), st.sampled_from(CLASSES))
    elif last == "missing":
        one = TEXTS
    else:
        one = field_values(last)
    one = st.one_of(one, one, one, TEXTS)
    if last in ("moment", "day") and operator not in (Operator.IN, Operator.NOT_IN):
        one = st.one_of(one, one, st.sampled_from(CALLS).map("javascript:".__add__))
    return Term(name, operator, draw(values_of(operator, one)))


TREES = ("parent_link", "person", "x")
SAME = (Operator.SAME_AS, Operator.NOT_SAME_AS)
TOGETHER = st.one_of(
    st.sampled_from(NAMES), st.builds("{}@{}".format, *map(st.sampled_from, (DATES, PERIODS)))
)
EXPRESSIONS = st.recursive(
    st.sampled_from(
        (
            *("a", "B", "ß", "Σ", "İ", ".", "\\d", "\\W", "\\s", "\\^", "'", "%", "_", "\\\\", "0"),
            *("1", "[a-c]", "[^A]", "[\\d-]", "[é-ü]", "[^\\w\\s]", "[]^]", "[\\W_]", "-", ":", ""),
        )
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map("".join),
        st.builds(
            "(?:{}){}".format, inner, st.sampled_from(["*", "+", "?", "{0,2}", "{2}", "{1,}"])
        ),
        st.lists(inner, min_size=1, max_size=3).map("|".join).map("({})".format),
        st.builds("^{}$".format, inner),
        st.builds("{}(?={})".format, inner, inner),
    ),
    max_leaves=6,
)
"""Regular expressions, most of them understood."""
ASKED: dict[Operator, st.SearchStrategy[str]] = {
    **dict.fromkeys(BETWEEN_FIELDS, st.sampled_from(NAMES)),
    **dict.fromkeys(SAME, TOGETHER),
    **dict.fromkeys(RELATIVE, DISTANCES),
    **dict.fromkeys((Operator.MORE_THAN, Operator.LESS_THAN), APART),
    Operator.DYNAMIC: st.sampled_from((*OPTIONS, "0")),
    **dict.fromkeys(
        (Operator.IN_HIERARCHY, Operator.IN_HIERARCHY_DYNAMIC),
        st.builds("{}@{}".format, st.sampled_from(TREES), st.integers(0, 9).map(sys_id)),
    ),
    Operator.DATE_PART: PARTS,
    Operator.INSTANCE_OF: st.sampled_from(CLASSES),
    Operator.MATCHES: st.text(alphabet=f"{LETTERS}***???", max_size=6),
    Operator.MATCHES_REGEX: EXPRESSIONS,
}


def values_of(operator: Operator, one: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Return the texts behind an operator, made of single values."""
    if operator in ASKED:
        return ASKED[operator]
    if operator in (Operator.ON, Operator.NOT_ON):
        return st.builds("label@{}@{}".format, one, one)
    if operator in (Operator.IN, Operator.NOT_IN):
        return st.lists(one, max_size=4).map(",".join)
    return st.builds("{}@{}".format, one, one) if operator is Operator.BETWEEN else one


def related(inner: st.SearchStrategy[Condition]) -> st.SearchStrategy[RelatedTerm]:
    """Conditions on related rows of every form; some name what does not exist."""
    return st.builds(
        RelatedTerm,
        form=st.sampled_from(Form),
        table=st.sampled_from((*CLASSES, *CLASSES, "nowhere")),
        field=st.sampled_from((*REFERENCES, *REFERENCES, *REFERENCES, *NAMES)),
        own=st.sampled_from(("sys_id", "sys_id", "sys_id", *NAMES)),
        owner=st.sampled_from(("", "base", "person")),
        operator=st.sampled_from(tuple(OPPOSITE)),
        count=st.integers(0, 3),
        query=st.builds(Query, condition=inner),
    )


CONDITIONS: st.SearchStrategy[Condition] = st.recursive(
    terms(),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda parts: And(tuple(parts))),
        st.lists(inner, max_size=3).map(lambda parts: Or(tuple(parts))),
        related(st.one_of(st.just(ALWAYS), inner)),
    ),
    max_leaves=5,
)
QUERIES = st.builds(
    Query,
    condition=CONDITIONS,
    order=st.lists(
        st.builds(Order, st.sampled_from(NAMES), st.booleans()),
        max_size=3,
        unique_by=lambda o: o.field,
    ).map(tuple),
)


SETTINGS = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def expected(world: World, plan: ReadPlan) -> list[Record]:
    """All rows of the plan in order, without its page."""
    found = [record for record in world.rows(plan.table) if world.holds(plan.condition, record)]
    return in_order(found, plan.order, world.get, lambda record: record["sys_id"])
