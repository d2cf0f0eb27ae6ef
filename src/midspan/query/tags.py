"""Tags: which records have one, and which do not.

A tag is a row of ``label``, a record that has it is named by a row of ``label_entry``. The field
``sys_tags`` holds nothing; a condition on it is one on related rows. ``sys_tags.<id>`` is how the
vendor's lists write it, the id given twice. Source: the vendor's "Operators available for filters
and queries", tags.
"""

from __future__ import annotations

from collections.abc import Mapping

from midspan.query.condition import (
    ALWAYS,
    And,
    Condition,
    Form,
    Operator,
    Query,
    RelatedTerm,
    Term,
)

FIELD = "sys_tags"
ENTRIES = "label_entry"
_OPPOSITE: Mapping[Operator, Operator] = {
    Operator.DIFFERS: Operator.EQUALS,
    Operator.NOT_IN: Operator.IN,
    Operator.NOT_CONTAINS: Operator.CONTAINS,
    Operator.EXCLUDING: Operator.EQUALS,
}
_POSITIVE = frozenset(
    {
        Operator.EQUALS,
        Operator.IN,
        Operator.CONTAINS,
        Operator.STARTS_WITH,
        Operator.ENDS_WITH,
        Operator.MATCHES,
        Operator.MATCHES_REGEX,
    }
)


def is_about_tags(term: Term) -> bool:
    """Tell whether a condition is about the tags of the row itself.

    >>> [is_about_tags(Term(name, Operator.EQUALS, "x")) for name in ("sys_tags.x", "sys_tag")]
    [True, False]
    """
    return term.field == FIELD or term.field.startswith(f"{FIELD}.")


def tagged(term: Term, tables: tuple[str, ...]) -> Condition | None:
    """Return what a condition on tags asks of related rows; None where it has no meaning.

    ``tables`` are the names under which entries name a record: its classes and what they extend.
    """
    match term.operator:
        case Operator.ANYTHING:
            return ALWAYS
        case Operator.IS_EMPTY:
            return _entries(tables, None, none=True)
        case Operator.IS_NOT_EMPTY:
            return _entries(tables, None)
        case Operator.DOES_NOT_HAVE:
            this = Term("label", Operator.EQUALS, term.value)
            return And((_entries(tables, None), _entries(tables, this, none=True)))
        case operator if operator in _POSITIVE:
            return _entries(tables, Term("label", operator, term.value))
        case operator if operator in _OPPOSITE:
            other = Term("label", _OPPOSITE[operator], term.value)
            return _entries(tables, other, none=True)
    return None


def _entries(tables: tuple[str, ...], tag: Term | None, *, none: bool = False) -> RelatedTerm:
    """Ask for entries of a record, at least one or none."""
    where = Term("table", Operator.IN, ",".join(tables))
    return RelatedTerm(
        form=Form.LIST,
        table=ENTRIES,
        field="table_key",
        operator=Operator.EQUALS if none else Operator.GREATER_OR_EQUAL,
        count=0 if none else 1,
        query=Query(condition=And((where, tag)) if tag else where),
    )
