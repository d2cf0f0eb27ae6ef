"""The CMDB Meta API: ``/api/now/cmdb/meta/{class}``. Source: ``spec/rest-api.md`` 7.2."""

from __future__ import annotations

from midspan.api.cmdbdescription import META
from midspan.api.cmdbinstance import class_of
from midspan.api.negotiation import response_form
from midspan.api.request import Request
from midspan.api.response import Response
from midspan.api.router import Role, Route, versioned
from midspan.api.table import answer
from midspan.cmdb import RULES, Entry, Rule, RuleBook
from midspan.dictionary import Dictionary, Field, Storage, Table
from midspan.kernel.errors import NotAuthorized
from midspan.query import NEVER


def meta_routes() -> tuple[Route, ...]:
    """Return the route of the CMDB Meta API in all its versions."""
    return versioned(
        Route(
            name="cmdb.meta",
            methods=("GET",),
            path="/api/now/cmdb/meta/{classname}",
            handler=show_class,
            access=Role("itil"),
            description=META,
        )
    )


def show_class(request: Request) -> Response:
    """Answer the attributes of a class that the caller may read, and the rules about it."""
    form, table = response_form(request), class_of(request)
    snapshot = request.snapshot
    access = request.parts.records.access(request.actor, snapshot, request.parts.clock.now())
    if access.rows(table.name, "read") == NEVER:
        raise NotAuthorized("User Not Authorized", detail="Failed API level ACL Validation")
    dictionary, book = snapshot.dictionary, snapshot.part(RULES)
    rules = book.rules(dictionary, table.name)
    shown = {
        "name": table.name,
        "label": table.label,
        "parent": table.parent,
        "is_extendable": table.extendable or len(table.classes) > 1,
        "children": [each.name for each in dictionary if each.parent == table.name],
        "icon": None,
        "icon_url": None,
        "attributes": [
            _attribute(table, field)
            for field in table.fields.values()
            if field.storage is not Storage.NONE and access.field(table.name, field.name, "read")
        ],
        "relationship_rules": _relationships(dictionary, book, table.name),
        "identification_rules": _rule(rules[0]) if rules else None,
    }
    return answer(shown, form)


def _attribute(table: Table, field: Field) -> dict[str, str | None]:
    return {
        "element": field.name,
        "label": field.label,
        "type": field.type,
        "max_length": str(field.max_length),
        "default_value": field.default or None,
        "is_inherited": _flag(field.name not in table.own),
        "is_mandatory": _flag(field.mandatory),
        "is_read_only": _flag(field.read_only),
        "is_display": _flag(field.name == table.display),
    }


def _flag(value: object) -> str:
    return "true" if value else "false"


def _relationships(dictionary: Dictionary, book: RuleBook, cls: str) -> list[dict[str, str]]:
    """Return the rules of dependence that a class is an end of, its own and its parents'."""
    line = dictionary.ancestors(cls)
    ends = sorted(
        (each.parent, each.child, each.type)
        for each in book.dependencies
        if each.parent in line or each.child in line
    )
    return [
        {"parent": parent, "relation_type": kind, "child": child} for parent, child, kind in ends
    ]


def _rule(rule: Rule) -> dict[str, object]:
    return {
        "name": rule.name,
        "description": rule.description,
        "applies_to": rule.applies_to,
        "active": True,
        "is_independent": rule.independent,
        "related_rules": [_entry(entry) for entry in rule.related],
        "identifiers": [_entry(entry) for entry in rule.entries],
    }


def _entry(entry: Entry) -> dict[str, object]:
    """Return an entry; one on the items' own table shows none."""
    return {
        "attributes": ",".join(entry.attributes),
        "table": entry.table if entry.lookup else None,
        "condition": entry.condition or None,
        "order": entry.order,
        "active": entry.active,
        "referenced_field": entry.referenced or None,
        "exact_count_match": entry.exact,
        "allow_fallback": entry.fallback,
        "allow_null_attribute": entry.nullable,
    }
