"""Which of the values that a source reports may be written over those of other sources. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime

from msgspec import Struct

from midspan.cmdb.rule import Precedence, RuleBook
from midspan.dictionary import Dictionary

UNRULED = frozenset({"discovery_source", "last_discovered", "first_discovered", "sys_class_name"})
"""Fields that no reconciliation rule is about; nor about those of the system."""


class LastWord(Struct, frozen=True):
    """Which source wrote a field last, and when."""

    source: str
    at: datetime


class Report(Struct, frozen=True, kw_only=True):
    """What a source says of an item of class ``cls`` now."""

    cls: str
    source: str
    values: Mapping[str, str]
    now: datetime


class Reconciled(Struct, frozen=True):
    """The values that may be written, and the fields that the source now has the last word on."""

    values: Mapping[str, str]
    claimed: frozenset[str]


class Reconciler:
    """Decides field by field; ``meets`` tells whether the item meets a rule's condition."""

    def __init__(self, dictionary: Dictionary, book: RuleBook, *, fill_empty: bool = True) -> None:
        """``fill_empty``: a source below may give a value to a field without one."""
        self._dictionary = dictionary
        self._book = book
        self._fill_empty = fill_empty

    def decide(
        self,
        report: Report,
        stored: Mapping[str, str],
        words: Mapping[str, LastWord],
        meets: Callable[[str], bool],
    ) -> Reconciled:
        """Return what of a report may be written over ``stored``; ``words`` by field."""
        accepted: dict[str, str] = {}
        claimed: set[str] = set()
        for field, text in report.values.items():
            ruled = self.ruling(report.cls, field, meets)
            if not ruled:
                accepted[field] = text
            elif self._may(report, field, stored.get(field, ""), words.get(field), ruled):
                accepted[field] = text
                if any(rule.source == report.source for rule in ruled):
                    claimed.add(field)
        return Reconciled(accepted, frozenset(claimed))

    def claims(self, report: Report, meets: Callable[[str], bool]) -> frozenset[str]:
        """Return the fields of a new item that the source has the last word on."""
        return frozenset(
            field
            for field, text in report.values.items()
            if text
            and any(r.source == report.source for r in self.ruling(report.cls, field, meets))
        )

    def ruling(self, cls: str, field: str, meets: Callable[[str], bool]) -> list[Precedence]:
        """Return the rules about a field: those that name it before those for all fields.

        Among either kind the nearest class decides alone.
        """
        if field in UNRULED or field.startswith("sys_"):
            return []
        rules = self._book.precedences
        for named in (True, False):
            for table in self._dictionary.ancestors(cls):
                found = [
                    rule
                    for rule in rules
                    if rule.table == table
                    and (field in rule.attributes if named else not rule.attributes)
                    and (not rule.condition or meets(rule.condition))
                ]
                if found:
                    return found
        return []

    def _may(
        self,
        report: Report,
        field: str,
        stored: str,
        last: LastWord | None,
        ruled: Collection[Precedence],
    ) -> bool:
        text = report.values[field]
        own = [rule for rule in ruled if rule.source == report.source]
        if not text and stored and not any(field in rule.emptied for rule in own):
            return False
        if text and not stored and self._fill_empty:
            return True
        if not own:
            return False
        return last is None or self._outranks(report, last, own, ruled)

    def _outranks(
        self,
        report: Report,
        last: LastWord,
        own: Iterable[Precedence],
        ruled: Iterable[Precedence],
    ) -> bool:
        """Tell whether a source of the rules may speak after the one that spoke last."""
        if last.source == report.source:
            return True
        others = [rule.priority for rule in ruled if rule.source == last.source]
        if not others or min(rule.priority for rule in own) <= min(others):
            return True
        lasts = self._book.lasts(self._dictionary, report.cls, last.source)
        return lasts is not None and report.now - last.at >= lasts
