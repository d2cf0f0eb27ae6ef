"""What the CMDB interfaces take and answer. Pure."""

from __future__ import annotations

from typing import Any

from midspan.api.description import (
    BOTH,
    FLAG,
    JSON,
    NUMBER,
    TEXT,
    Answer,
    Body,
    Description,
    Schema,
    listed,
    mapped,
    members,
    query,
    result,
    segment,
    texts,
)
from midspan.api.idempotency import KEY, REPLAYED
from midspan.api.table import PAGE, STRICT, SYS_ID

_NAME = {"type": "string", "minLength": 1}
CLASS = segment("classname", "Name of a class of configuration items.", _NAME)
_RELATION_ID = segment("rel_sys_id", "Id of the relation.", _NAME)
_TAG = "CMDB"
_WARNS = "X-Midspan-Warning"
_REFERENCE: Schema = {"anyOf": [texts("display_value", "link", "value"), TEXT]}
_RELATION = members(("sys_id", "type", "target"), sys_id=TEXT, type=_REFERENCE, target=_REFERENCE)
_ITEM = members(
    attributes=mapped(_REFERENCE),
    outbound_relations=listed(_RELATION),
    inbound_relations=listed(_RELATION),
)
_WANTED = members(("type", "target"), type=TEXT, target=TEXT)
_RELATIONS: dict[str, Any] = {
    "outbound_relations": listed(_WANTED),
    "inbound_relations": listed(_WANTED),
}
_SHOWN = Answer("The item with its relations.", result(_ITEM), BOTH, (_WARNS, REPLAYED))
_REFUSES = (400, 403, 404, 406, 409, 415, 422)
_WRITTEN = Body(members(("source",), attributes=mapped({}), source=TEXT, **_RELATIONS), BOTH)

LIST = Description(
    summary="Read ids and names of the items of a class",
    tag=_TAG,
    parameters=(CLASS, *PAGE, STRICT),
    answers={200: Answer("A page of items.", result(listed(mapped(TEXT))), BOTH, (_WARNS,))},
    refuses=(400, 403, 404, 406),
)
GET = Description(
    summary="Read an item with its relations",
    tag=_TAG,
    parameters=(CLASS, SYS_ID),
    answers={200: Answer("The item.", result(_ITEM), BOTH)},
    refuses=(400, 403, 404, 406),
)
CREATE = Description(
    summary="Add an item, unless it is known already",
    tag=_TAG,
    parameters=(CLASS, STRICT, KEY),
    body=_WRITTEN,
    answers={200: _SHOWN},
    refuses=_REFUSES,
)
UPDATE = Description(
    summary="Change attributes of an item",
    tag=_TAG,
    parameters=(CLASS, SYS_ID, STRICT, KEY),
    body=_WRITTEN,
    answers={200: _SHOWN},
    refuses=_REFUSES,
)
RELATE = Description(
    summary="Add relations to an item",
    tag=_TAG,
    parameters=(CLASS, SYS_ID, STRICT, KEY),
    body=Body(members(("source",), source=TEXT, **_RELATIONS), BOTH),
    answers={200: _SHOWN},
    refuses=_REFUSES,
)
DELETE_RELATION = Description(
    summary="Delete a relation of an item",
    tag=_TAG,
    parameters=(CLASS, SYS_ID, _RELATION_ID, KEY),
    answers={204: Answer("It is gone.", headers=(REPLAYED,))},
    refuses=(400, 403, 404, 409, 422),
)

_NULLABLE: Schema = {"type": ["string", "null"]}
_ENTRY = members(
    (
        "attributes",
        "table",
        "condition",
        "order",
        "active",
        "referenced_field",
        "exact_count_match",
        "allow_fallback",
        "allow_null_attribute",
    ),
    attributes=TEXT,
    table=_NULLABLE,
    condition=_NULLABLE,
    order=NUMBER,
    active=FLAG,
    referenced_field=_NULLABLE,
    exact_count_match=FLAG,
    allow_fallback=FLAG,
    allow_null_attribute=FLAG,
)
_RULE = members(
    ("name", "applies_to", "active", "is_independent", "related_rules", "identifiers"),
    name=TEXT,
    description=TEXT,
    applies_to=TEXT,
    active=FLAG,
    is_independent=FLAG,
    related_rules=listed(_ENTRY),
    identifiers=listed(_ENTRY),
)
META = Description(
    summary="Read what is known of a class",
    tag=_TAG,
    parameters=(CLASS,),
    answers={
        200: Answer(
            "Its attributes, children and rules.",
            result(
                members(
                    ("name", "label", "parent", "is_extendable", "children", "attributes"),
                    name=TEXT,
                    label=TEXT,
                    parent=_NULLABLE,
                    is_extendable=FLAG,
                    children=listed(TEXT),
                    icon=_NULLABLE,
                    icon_url=_NULLABLE,
                    attributes=listed(
                        members(("element", "label", "type"), element=TEXT, label=TEXT, type=TEXT)
                    ),
                    relationship_rules=listed(texts("parent", "relation_type", "child")),
                    identification_rules={"anyOf": [_RULE, {"type": "null"}]},
                )
            ),
            BOTH,
        )
    },
    refuses=(400, 403, 406),
)

_SOURCE = query("sysparm_data_source", "A choice of cmdb_ci.discovery_source: who reports.")
_OPTIONS = query("options", "Such as partial_payloads:true,generate_summary:true.")
_VALUES = mapped({})
_INFO = mapped(TEXT)
_SUB = members(
    ("className",), className=TEXT, values=_VALUES, internal_id=TEXT, sys_object_source_info=_INFO
)
_PAYLOAD = members(
    ("items",),
    items={
        **listed(
            members(
                ("className",),
                className=TEXT,
                internal_id=TEXT,
                values=_VALUES,
                display_values=_VALUES,
                lookup=listed(_SUB),
                related=listed(_SUB),
                settings=_VALUES,
                sys_object_source_info=_INFO,
            )
        ),
        "minItems": 1,
    },
    relations=listed(members(("type",), type=TEXT)),
    referenceItems=listed(
        members(
            ("referenceField", "referenced", "referencedBy"),
            referenceField=TEXT,
            referenced=TEXT,
            referencedBy=TEXT,
        )
    ),
)
_OUTCOME = members(
    ("items", "relations", "additionalCommittedItems", "additionalCommittedRelations"),
    items=listed(members(("className", "operation"), className=TEXT, operation=TEXT)),
    relations=listed(members(("className", "operation"), className=TEXT, operation=TEXT)),
    additionalCommittedItems=listed({"type": "object"}),
    additionalCommittedRelations=listed({"type": "object"}),
)


def reconcile_description(summary: str, *, enhanced: bool, writes: bool) -> Description:
    """Return the description of one of the four routes that take payloads."""
    parameters = (_SOURCE, *((_OPTIONS,) if enhanced else ()), STRICT)
    return Description(
        summary=summary,
        tag=_TAG,
        parameters=(*parameters, KEY) if writes else parameters,
        body=Body(_PAYLOAD, (JSON,)),
        answers={
            200: Answer(
                "What became, or would become, of each item and relation.",
                result(_OUTCOME),
                BOTH,
                (_WARNS, REPLAYED) if writes else (_WARNS,),
            )
        },
        refuses=(400, 403, 406, 409, 415, 422) if writes else (400, 403, 406, 415),
    )
