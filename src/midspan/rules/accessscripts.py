"""Scripts of access rules: what they say about records, a page of records in each run."""

from __future__ import annotations

import re
from collections.abc import Sequence

from midspan.records import Record, RecordTransaction
from midspan.sandbox import Script, ScriptError
from midspan.scripting import Enclosed, ScriptRunner
from midspan.scripting.rulepage import RuleOutcome, RulePage, RuleRow, rule_condition, run_page
from midspan.security import AccessRule

PAGE = 250
"""Records of one run of a script."""
_ANSWER = re.compile(r"\banswer\b")


def access_script(rule: AccessRule) -> Script:
    """Return the script as it runs over pages: its value is that of the variable ``answer``.

    A script that does not name that variable is one expression, whose value counts.
    """
    name = f"sys_security_acl.{rule.sys_id}.script"
    if not _ANSWER.search(rule.script):
        return rule_condition(name, rule.script)
    return Script(
        name,
        f"__rule(function () {{globalThis.answer = undefined; {rule.script}\n;return answer;}})",
    )


class RecordAccessScripts:
    """Runs scripts of access rules in the sandbox; one per instance, safe for many threads.

    A script that throws refuses the record. The first line of each run is in the log.
    """

    def __init__(self, runner: ScriptRunner) -> None:
        self._runner = runner

    def passing(
        self, transaction: RecordTransaction, rule: AccessRule, records: Sequence[Record]
    ) -> list[str]:
        """Return the ids of those records for which the script passes.

        Raises:
            ScriptError: it went over a limit; that is in the log.
            SandboxUnavailable: no worker was free in time.
        """
        if not records:
            return []
        script = access_script(rule)
        found: list[str] = []
        with self._runner.session(Enclosed(transaction)) as session:
            for start in range(0, len(records), PAGE):
                part = records[start : start + PAGE]
                page = RulePage(
                    table=transaction.dictionary.table(part[0].table),
                    operation=rule.operation,
                    phase="async",
                    rows=[RuleRow(record.values) for record in part],
                )
                try:
                    outcomes = run_page(session, script, page)
                except ScriptError as error:
                    self._failed(transaction, rule, error)
                    raise
                for record, outcome in zip(part, outcomes, strict=True):
                    if outcome.value and outcome.error is None:
                        found.append(record.sys_id)
                self._report(transaction, rule, outcomes)
        return found

    def _report(
        self, transaction: RecordTransaction, rule: AccessRule, outcomes: Sequence[RuleOutcome]
    ) -> None:
        failed = next((each.error for each in outcomes if each.error is not None), None)
        if failed is not None:
            self._failed(transaction, rule, failed)

    def _failed(self, transaction: RecordTransaction, rule: AccessRule, error: ScriptError) -> None:
        title = f"Access rule {rule.name!r} for {rule.operation}"
        transaction.store.logbook.failure(error, title=title, user=transaction.actor.user_name)
