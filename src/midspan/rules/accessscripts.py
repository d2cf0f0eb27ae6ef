"""Scripts of access rules: what they say about records, a page of records in each run."""

from __future__ import annotations

import re
from collections.abc import Sequence

from midspan.kernel.errors import LimitExceeded
from midspan.records import Record, RecordTransaction
from midspan.sandbox import Script, ScriptCrashed, ScriptError, ScriptSyntaxError
from midspan.scripting import Enclosed, RecordView, ScriptRunner, ScriptSession
from midspan.scripting.rulepage import RuleOutcome, RulePage, RuleRow, rule_expression, run_page
from midspan.security import AccessRule

PAGE = 250
"""Records of one run of a script."""
_ANSWER = re.compile(r"\banswer\b")
_MOST_KNOWN = 1000
_FALSE = (None, False, 0, "", "0", "false")


def access_script(rule: AccessRule) -> Script:
    """Return the script as it runs over pages: its value is that of the variable ``answer``.

    A script that does not name that variable is taken for one expression, whose value counts.
    """
    name = _name(rule)
    if not _ANSWER.search(rule.script):
        return rule_expression(name, rule.script)
    body = f"globalThis.answer = undefined; {rule.script}\n;return answer;"
    return Script(name, f"__rule(function () {{{body}}})")


class RecordAccessScripts:
    """Runs scripts of access rules in the sandbox; one per instance, safe for many threads.

    A script that throws refuses the record; of each page the first such error is in the log. What
    does not name ``answer`` and is no expression runs record by record, each in a scope of its own,
    and the value of its last statement counts.
    """

    def __init__(self, runner: ScriptRunner) -> None:
        self._runner = runner
        self._statements: set[Script] = set()

    def passes(self, transaction: RecordTransaction, rule: AccessRule) -> bool | None:
        """Tell whether a script passes that is given no record; None when it throws.

        Raises:
            ScriptError: it went over a limit; that is in the log.
            SandboxUnavailable: no worker was free in time.
        """
        text = rule.script
        if _ANSWER.search(text):
            body = f"globalThis.answer = undefined; {text}\n;return answer;"
            text = f"(function () {{{body}}})()"
        try:
            with self._runner.session(Enclosed(transaction)) as session:
                value = session.run(Script(_name(rule), text))
        except ScriptError as error:
            over = isinstance(error, LimitExceeded | ScriptCrashed)
            if over or rule.kind != "record":  # else it is heard again, with a record
                _failed(transaction, rule, error)
            if over:
                raise
            return None
        return value not in _FALSE

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
        unit = Enclosed(transaction)
        found: list[str] = []
        with self._runner.session(unit) as session:
            for start in range(0, len(records), PAGE):
                page = records[start : start + PAGE]
                try:
                    outcomes = self._page(session, transaction, rule, page)
                except ScriptError as error:
                    _failed(transaction, rule, error)
                    raise
                for record, outcome in zip(page, outcomes, strict=True):
                    if outcome.value and outcome.error is None:
                        found.append(record.sys_id)
                failed = next((each.error for each in outcomes if each.error is not None), None)
                if failed is not None:
                    _failed(transaction, rule, failed)
        return found

    def _page(
        self,
        session: ScriptSession,
        transaction: RecordTransaction,
        rule: AccessRule,
        records: Sequence[Record],
    ) -> Sequence[RuleOutcome]:
        script = access_script(rule)
        if script not in self._statements:
            page = RulePage(
                table=transaction.dictionary.table(records[0].table),
                operation=rule.operation,
                phase="access",
                rows=[RuleRow(record.values) for record in records],
            )
            outcomes = run_page(session, script, page)
            if _ANSWER.search(rule.script) or not isinstance(outcomes[0].error, ScriptSyntaxError):
                return outcomes
            if len(self._statements) > _MOST_KNOWN:
                self._statements.clear()
            self._statements.add(script)
        return self._one_by_one(transaction, rule, records)

    def _one_by_one(
        self, transaction: RecordTransaction, rule: AccessRule, records: Sequence[Record]
    ) -> list[RuleOutcome]:
        """Run the script once for each record; a session inside a session keeps nothing."""
        script = Script(_name(rule), rule.script)
        outcomes: list[RuleOutcome] = []
        with self._runner.session(Enclosed(transaction)) as session:
            for at, record in enumerate(records):
                try:
                    value = session.run(
                        script, {"current": RecordView(record.table, record.values)}
                    )
                except (LimitExceeded, ScriptCrashed):
                    raise
                except ScriptError as error:
                    outcomes.append(RuleOutcome(i=at, error=error))
                else:
                    outcomes.append(RuleOutcome(i=at, value=value not in _FALSE))
        return outcomes


def _name(rule: AccessRule) -> str:
    return f"sys_security_acl.{rule.sys_id}.script"


def _failed(transaction: RecordTransaction, rule: AccessRule, error: ScriptError) -> None:
    title = f"Access rule {rule.name!r} for {rule.operation}"
    transaction.store.logbook.failure(error, title=title, user=transaction.actor.user_name)
