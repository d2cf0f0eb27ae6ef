"""What the routes of ``admin`` take and answer."""

from __future__ import annotations

from collections.abc import Mapping

from midspan.api.checks import Check
from midspan.api.description import (
    BYTES,
    FLAG,
    NUMBER,
    TEXT,
    Answer,
    Body,
    Description,
    Parameter,
    Schema,
    listed,
    mapped,
    members,
    one_of,
    query,
    result,
    segment,
    struct,
    texts,
)

_TAG = "Administration"
_COUNTS = ("total", "inserts", "updates", "ignored", "skipped", "errors")
_TOTALS = members(_COUNTS, **dict.fromkeys(_COUNTS, NUMBER))
_ERRORS = listed(members(("row", "reason"), row=NUMBER, reason=TEXT))
RUN = members(
    ("sys_id", "state", "totals", "errors"),
    sys_id=TEXT,
    import_set=TEXT,
    map=TEXT,
    state=TEXT,
    totals=_TOTALS,
    errors=_ERRORS,
)
"""One run of an import, with the rows that it refused."""
_TABLE = texts("name", "label", "extends")
_FIELD = members(
    ("name", "label", "type", "reference", "mandatory", "choices"),
    name=TEXT,
    label=TEXT,
    type=TEXT,
    reference=TEXT,
    mandatory=FLAG,
    choices=mapped(TEXT),
)
_DIFFERENCE = members(
    ("kind", "table", "sys_id", "file", "fields"),
    kind=one_of("insert", "update", "same", "customized"),
    table=TEXT,
    sys_id=TEXT,
    file=TEXT,
    fields=mapped(listed(TEXT)),
)


def administration() -> Mapping[str, Description]:
    """Return the descriptions by the last part of the routes' names."""
    return {**_files(), **_imports(), **_people(), **_looking()}


def _files() -> dict[str, Description]:
    return {
        "apply": Description(
            summary="Install the files of an app",
            tag=_TAG,
            body=Body(members(("files",), files=mapped(TEXT), dry_run=FLAG)),
            answers={
                200: Answer(
                    "What it did, or would do.",
                    result(
                        members(
                            ("app", "version", "dry_run", "summary", "differences"),
                            app=TEXT,
                            version=TEXT,
                            dry_run=FLAG,
                            summary=mapped(NUMBER),
                            differences=listed(_DIFFERENCE),
                        )
                    ),
                )
            },
            refuses=(400, 403, 404, 409),
        ),
        "export": Description(
            summary="Export an app or the records of a table",
            tag=_TAG,
            parameters=(
                query("app", "Name of an app."),
                query("table", "Name of a table, instead."),
                query("query", "Encoded query of the records."),
            ),
            answers={
                200: Answer("Files by path.", result(members(("files",), files=mapped(TEXT))))
            },
            refuses=(400, 403, 404),
        ),
        "backup": Description(
            summary="Back up everything but the master key",
            tag=_TAG,
            answers={200: Answer("One file.", None, ("application/zstd",))},
            refuses=(400,),
        ),
    }


def _imports() -> dict[str, Description]:
    return {
        "import": Description(
            summary="Import a CSV file",
            tag="Imports",
            parameters=(_source(),),
            body=Body(TEXT, ("text/csv", BYTES)),
            answers={200: Answer("Its runs.", result(members(("runs",), runs=listed(RUN))))},
            refuses=(400, 404, 409),
        ),
        "import_run": Description(
            summary="Read the totals of an import",
            tag="Imports",
            parameters=(segment("run", "Id of the run."),),
            answers={200: Answer("The run.", result(RUN))},
            refuses=(400, 404),
        ),
    }


def _source() -> Parameter:
    return segment("source", "Name or id of the data source.")


def _people() -> dict[str, Description]:
    added: Schema = members(
        ("sys_id", "user_name", "roles"), sys_id=TEXT, user_name=TEXT, roles=listed(TEXT)
    )
    return {
        "add_user": Description(
            summary="Add a user with roles",
            tag=_TAG,
            body=Body(
                {
                    **members(("user_name",), user_name=TEXT, password=TEXT, roles=listed(TEXT)),
                    "additionalProperties": TEXT,
                }
            ),
            answers={201: Answer("The user.", result(added))},
            refuses=(400, 404, 409),
        ),
        "token": Description(
            summary="Make a set-up link for the administrator",
            tag=_TAG,
            body=Body(members(("purpose",), purpose=one_of("setup"))),
            answers={
                201: Answer(
                    "The link, shown this once.", result(texts("purpose", "user", "url", "expires"))
                )
            },
            refuses=(400,),
        ),
    }


def _looking() -> dict[str, Description]:
    table: Schema = {"allOf": [_TABLE, members(("fields",), fields=listed(_FIELD))]}
    return {
        "doctor": Description(
            summary="Examine the instance",
            tag=_TAG,
            answers={200: Answer("The checks in their order.", result(listed(struct(Check))))},
            refuses=(400,),
        ),
        "tables": Description(
            summary="List all tables",
            tag=_TAG,
            answers={200: Answer("Tables by name.", result(listed(_TABLE)))},
            refuses=(400,),
        ),
        "table": Description(
            summary="Show a table with its fields",
            tag=_TAG,
            parameters=(segment("name", "Name of the table."),),
            answers={200: Answer("The table.", result(table))},
            refuses=(400,),
        ),
    }
