"""A page of staging rows through one map: scripts opened, records written, row states noted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from midspan.importsets.maps import TransformMap
from midspan.importsets.rowwise import IGNORED, RowTransform
from midspan.importsets.scripts import MapScripts
from midspan.importsets.transform import SCRIPT_FAILED, FieldScript, PageTransform, RowOutcome
from midspan.records import Record, RecordTransaction

NO_SCRIPTS = "The scripts of the map are not available"
REPORTED = ("error", "skipped")
"""Row states that get an entry with their reason: whatever did not reach the target."""


class FieldScripts(Protocol):
    """Opens a place where field maps' scripts run inside a transaction."""

    def open(
        self, transaction: RecordTransaction, definition: TransformMap
    ) -> AbstractContextManager[FieldScript]:
        """Return a context whose value runs one script for one staging row."""
        ...

    def begin(
        self, definition: TransformMap, import_set: str, *, long: bool
    ) -> AbstractContextManager[MapScripts | None]:
        """Return a context with the scripts that steer a run, or None for a map without any."""
        ...


def transform_page(
    transaction: RecordTransaction,
    scripts: FieldScripts | None,
    definition: TransformMap,
    rows: Sequence[Record],
    *,
    run: str = "",
    steering: MapScripts | None = None,
) -> list[RowOutcome]:
    """Transform rows and note in each what became of it; ``run`` is the run that they belong to.

    ``steering`` are the scripts of the run, which may end it: further rows then stay as they are.
    """
    if steering is not None:
        outcomes = RowTransform(definition, steering).transform(transaction, rows)
    elif definition.is_scripted:
        outcomes = [RowOutcome(row, "error", NO_SCRIPTS, SCRIPT_FAILED) for row in rows]
    else:
        with _opened(scripts, transaction, definition) as script:
            outcomes = PageTransform(definition, script).transform(transaction, rows)
    keep_outcomes(transaction, definition, outcomes, run)
    return outcomes


def keep_outcomes(
    transaction: RecordTransaction,
    definition: TransformMap,
    outcomes: Sequence[RowOutcome],
    run: str,
) -> None:
    """Note in rows what became of them, and the reason of those that did not reach the target."""
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


def transform_whole(
    transaction: RecordTransaction,
    scripts: FieldScripts | None,
    definition: TransformMap,
    rows: Sequence[Record],
    import_set: str,
) -> list[RowOutcome]:
    """Transform all rows of a run at once, with what scripts do at its start and its end.

    Rows after one for which a script ended the run are in error, too.
    """
    with begun(scripts, definition, import_set) as steering:
        if steering is None:
            return transform_page(transaction, scripts, definition, rows)
        outcomes: list[RowOutcome] = []
        wanted = steering.start(transaction)
        if wanted.ignore and not steering.halted:
            outcomes = [RowOutcome(row, "ignored", IGNORED.format("onStart")) for row in rows]
            keep_outcomes(transaction, definition, outcomes, "")
        elif not steering.halted:
            outcomes = transform_page(transaction, scripts, definition, rows, steering=steering)
        left = [
            RowOutcome(row, "error", steering.halted, SCRIPT_FAILED)
            for row in rows[len(outcomes) :]
        ]
        keep_outcomes(transaction, definition, left, "")
        if not left and not steering.halted and not wanted.ignore:
            steering.complete(transaction)
        return outcomes + left


@contextmanager
def begun(
    scripts: FieldScripts | None, definition: TransformMap, import_set: str, *, long: bool = False
) -> Iterator[MapScripts | None]:
    """Hold the scripts that steer a run of a map; ``long`` ones begin outside of transactions."""
    if scripts is None:
        yield None
    else:
        with scripts.begin(definition, import_set, long=long) as steering:
            yield steering


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
