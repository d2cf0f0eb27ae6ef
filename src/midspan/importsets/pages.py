"""A page of staging rows through one map: scripts opened, records written, row states noted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from midspan.importsets.maps import TransformMap
from midspan.importsets.transform import FieldScript, PageTransform, RowOutcome
from midspan.records import Record, RecordTransaction

REPORTED = ("error", "skipped")
"""Row states that get an entry with their reason: whatever did not reach the target."""


class FieldScripts(Protocol):
    """Opens a place where field maps' scripts run inside a transaction."""

    def open(
        self, transaction: RecordTransaction, definition: TransformMap
    ) -> AbstractContextManager[FieldScript]:
        """Return a context whose value runs one script for one staging row."""
        ...


def transform_page(
    transaction: RecordTransaction,
    scripts: FieldScripts | None,
    definition: TransformMap,
    rows: Sequence[Record],
    *,
    run: str = "",
) -> list[RowOutcome]:
    """Transform rows and note in each what became of it; ``run`` is the run that they belong to."""
    with _opened(scripts, transaction, definition) as script:
        outcomes = PageTransform(definition, script).transform(transaction, rows)
    for outcome in outcomes:
        transaction.engine_update(
            outcome.row.table,
            outcome.row.sys_id,
            {
                "sys_import_state": outcome.state,
                "sys_import_state_comment": outcome.comment[:1000],
                "sys_transform_map": definition.sys_id,
                "sys_target_table": outcome.target_table,
                "sys_target_sys_id": outcome.target_id,
                "import_set_run": run,
            },
        )
    transaction.engine_insert(
        "sys_import_set_row_error",
        [_row_error(run, outcome) for outcome in outcomes if outcome.state in REPORTED],
    )
    return outcomes


@contextmanager
def _opened(
    scripts: FieldScripts | None, transaction: RecordTransaction, definition: TransformMap
) -> Iterator[FieldScript | None]:
    if scripts is None or not any(field.script for field in definition.fields):
        yield None
    else:
        with scripts.open(transaction, definition) as script:
            yield script


def _row_error(run: str, outcome: RowOutcome) -> dict[str, str]:
    return {
        "import_set_run": run,
        "sys_import_set": outcome.row.get("sys_import_set"),
        "row": outcome.row.get("sys_import_row"),
        "error_code": str(outcome.code),
        "error_message": outcome.comment[:4000],
        "staging_row": outcome.row.sys_id,
    }
