"""Rules of one kind at work on drafts of one class: one rule after the other, all drafts each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import TracebackType

from msgspec import structs

from midspan.dictionary import Storage
from midspan.kernel.errors import MidspanError, OperationAborted
from midspan.query import ALWAYS
from midspan.records import Draft, Operation, RecordTransaction, update
from midspan.rules.reading import DraftReader
from midspan.rules.rule import Rule
from midspan.rules.running import applies, give, refusal, tell, trusted, values_of
from midspan.rules.scripted import ScriptedRules, Setting
from midspan.scripting.rulepage import RuleOutcome

_RUNNING = "rules_running"
_FIXED = frozenset({"sys_id", "sys_class_name"})


class Phase:
    """Early, late or after rules for some drafts; a context manager, for the script session.

    ``positions`` are those of ``drafts`` that are of this class; what goes wrong with one is put
    into ``failed``, and it takes no further part. With ``together`` the drafts are a set, in which
    each is prepared before the first is stored: scripts must not look at other records then.
    """

    def __init__(
        self,
        transaction: RecordTransaction,
        drafts: Sequence[Draft],
        positions: Sequence[int],
        failed: dict[int, MidspanError],
        scripts: ScriptedRules | None,
        *,
        together: bool,
    ) -> None:
        self.transaction = transaction
        self.drafts = drafts
        self.together = together
        self._positions = positions
        self._failed = failed
        self._scripts = scripts
        self._stack = ExitStack()
        self._setting: Setting | None = None

    def __enter__(self) -> Phase:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    @property
    def left(self) -> list[int]:
        """The positions of the drafts that still take part."""
        if not self._failed:
            return list(self._positions)
        return [at for at in self._positions if at not in self._failed]

    def attempt(self, at: int, step: Callable[[Draft, RecordTransaction], None]) -> None:
        """Take one step with one draft; a refusal ends its part."""
        try:
            step(self.drafts[at], self.transaction)
        except MidspanError as error:
            self._failed[at] = error

    def before(self, rules: Sequence[Rule]) -> None:
        """Run before rules."""
        self._each(rules, self._act)

    def after(self, rules: Sequence[Rule]) -> None:
        """Run after rules."""
        self._each(rules, self._act_after)

    def _each(self, rules: Sequence[Rule], act: Callable[[Rule, Draft], None]) -> None:
        """Run rules in order: what each does without a script first, then its script."""
        for rule in rules:
            concerned = self.concerned(rule)
            if not concerned:
                continue
            with self._guarded(rule, concerned) as places:
                for at in self.ask(rule, places):
                    self.attempt(at, lambda draft, _, rule=rule: act(rule, draft))  # type: ignore[misc]
                    places[at] = at not in self._failed
                if rule.script is not None:
                    self._run(rule, [at for at, passed in places.items() if passed])

    @contextmanager
    def _guarded(self, rule: Rule, concerned: Sequence[int]) -> Iterator[dict[int, bool]]:
        """Yield the drafts for whose records a rule is not running already, each as False."""
        running: set[tuple[str, str]] = self.transaction.locals.setdefault(_RUNNING, set())
        keys = {at: (rule.sys_id, self.drafts[at].sys_id) for at in concerned}
        mine = {at: key for at, key in keys.items() if key not in running}
        if len(mine) < len(keys) and rule.scripted and self._scripts is not None:
            self._scripts.recursion(rule, self.transaction)
        running.update(mine.values())
        try:
            yield dict.fromkeys(mine, False)
        finally:
            running.difference_update(mine.values())

    def concerned(self, rule: Rule) -> list[int]:
        """Return where roles and conditions of a rule hold, its expression apart."""
        if rule.scripted and self._scripts is None:
            return []
        found = self.left
        if not rule.roles and rule.condition == ALWAYS:
            return found
        if rule.reads is None or len(found) == 1:
            return [at for at in found if self._applies(rule, self.drafts[at])]
        return self._alike(rule, rule.reads, found)

    def _alike(self, rule: Rule, names: tuple[str, ...], places: list[int]) -> list[int]:
        """Ask once for all drafts whose fields are and were the same, as many of a page are."""
        known: dict[tuple[str, ...], bool] = {}
        found: list[int] = []
        for at in places:
            draft = self.drafts[at]
            key = (*map(draft.get, names), *map(draft.old, names))
            applies = known.get(key)
            if applies is None:
                applies = known[key] = self._applies(rule, draft)
            if applies:
                found.append(at)
        return found

    def ask(self, rule: Rule, places: Iterable[int]) -> list[int]:
        """Return where the expression of a rule holds, among records that it is about."""
        found = list(places)
        if rule.expression is None or not found:
            return found
        outcomes = self._outcomes(rule, found, expression=True)
        return [
            at
            for at, outcome in zip(found, outcomes, strict=True)
            if outcome.value and outcome.error is None
        ]

    def _applies(self, rule: Rule, draft: Draft) -> bool:
        awaited = rule.awaited
        if awaited is not None and all(draft.get(name) == draft.old(name) for name in awaited):
            return False
        return applies(rule, draft, self.transaction, DraftReader(draft, self.transaction))

    def _act(self, rule: Rule, draft: Draft) -> None:
        if rule.settings and draft.operation is not Operation.DELETE:
            reader = DraftReader(draft, self.transaction)
            for name, text in values_of(rule, draft, self.transaction, reader).items():
                give(rule, draft, name, text)
        self._say(rule, draft)
        if rule.abort:
            draft.refuse(refusal(rule, draft))

    def _act_after(self, rule: Rule, draft: Draft) -> None:
        self._say(rule, draft)
        if rule.abort:
            raise OperationAborted("Operation Failed", detail=refusal(rule, draft))
        if not rule.settings or draft.operation is Operation.DELETE:
            return
        reader = DraftReader(draft, self.transaction)
        values = {
            name: text
            for name, text in values_of(rule, draft, self.transaction, reader).items()
            if (text and draft.table.fields[name].kind.journal) or text != draft.get(name)
        }
        if values:
            with trusted(self.transaction):
                change = update(draft.table.name, draft.sys_id, values)
                applied = self.transaction.apply(structs.replace(change, options=draft.options))
            draft.values.update(applied.values)

    def _say(self, rule: Rule, draft: Draft) -> None:
        if not rule.message:
            return
        if self.together and self._scripts is not None:
            outcome = RuleOutcome(i=0, messages=[rule.message])
            self._scripts.hear(self.transaction, rule, draft, outcome, together=True)
        else:
            tell(self.transaction, [rule.message])

    # Scripts

    def _run(self, rule: Rule, places: list[int]) -> None:
        """Run a rule's script for some drafts and take over what it did to them."""
        if not places:
            return
        for at, outcome in zip(places, self._outcomes(rule, places), strict=True):
            draft = self.drafts[at]
            draft.values.update(outcome.stored)
            for name, text in outcome.set.items():
                if _is_given(draft, name):
                    give(rule, draft, name, text)
            if rule.before and outcome.refused:
                draft.refuse(refusal(rule, draft))
            elif rule.before and outcome.refused is False:
                draft.refused = None

    def _outcomes(
        self, rule: Rule, places: list[int], *, expression: bool = False
    ) -> list[RuleOutcome]:
        scripts = self._scripts
        if scripts is None:
            return []
        if self._setting is None:
            self._setting = self._stack.enter_context(scripts.open(self.transaction))
        drafts = [self.drafts[at] for at in places]
        return scripts.run(
            self._setting, rule, drafts, expression=expression, together=self.together
        )


def _is_given(draft: Draft, name: str) -> bool:
    """Tell whether a script may give a field its value."""
    field = draft.table.fields.get(name)
    if field is None or name in _FIXED:
        return False
    return field.storage is not Storage.NONE or field.kind.journal
