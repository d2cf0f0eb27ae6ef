"""Finds the stored item that an item of a payload means. Pure but for what a ``Finder`` answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from midspan.cmdb.outcome import Attempt, Duplicates, Problem, Refusal, Result
from midspan.cmdb.payload import SourceInfo, SubItem
from midspan.cmdb.rule import Dependency, Entry, Rule
from midspan.dictionary import Dictionary


class Candidate(Struct, frozen=True):
    """A stored item: its id and class."""

    sys_id: str
    cls: str


class Host(Struct, frozen=True):
    """The other end of a relation that a dependent item needs; ``sys_id`` is empty if new."""

    dependency: Dependency
    cls: str
    sys_id: str


class Subject(Struct, frozen=True, kw_only=True):
    """An item to identify: canonical texts by field."""

    cls: str
    values: Mapping[str, str]
    lookup: tuple[SubItem, ...] = ()
    source: SourceInfo | None = None
    sys_id: str = ""
    host: Host | None = None


class Finder(Protocol):
    """Looks stored items up, the oldest first; items marked as duplicates are not among them."""

    def by_id(self, sys_id: str, table: str) -> Candidate | None:
        """Return the item of an id, where it is of ``table`` or a descendant."""
        ...

    def by_source(self, source: SourceInfo, table: str) -> Candidate | None:
        """Return the item that a source calls so."""
        ...

    def equal(
        self, table: str, values: Mapping[str, str], condition: str, host: Host | None
    ) -> list[Candidate]:
        """Return the items whose fields are equal to ``values``, those beside a host only."""
        ...

    def referred(self, entry: Entry, values: Mapping[str, str], table: str) -> list[Candidate]:
        """Return the items of ``table`` that rows of a look-up table name."""
        ...


class Policy(Struct, frozen=True, kw_only=True):
    """How the instance is set."""

    skip_duplicates: bool = True
    threshold: int = 5
    conditions: bool = False
    """Conditions of entries on the items' own table count."""
    sources: bool = True
    """What a source calls an item comes before all rules."""
    enhanced: bool = False


class Identified(Struct, frozen=True, kw_only=True):
    """What identification came to; without ``found`` and ``problem`` the item is new."""

    found: Candidate | None = None
    entry: str = ""
    attempts: tuple[Attempt, ...] = ()
    problem: Problem | None = None
    duplicates: Duplicates | None = None


class Identifier:
    """Applies the rules of a class, entry by entry."""

    def __init__(self, dictionary: Dictionary, finder: Finder, policy: Policy) -> None:
        self._dictionary = dictionary
        self._finder = finder
        self._policy = policy

    def given(self, subject: Subject, table: str) -> Identified | None:
        """Return the item that the payload names by its id or the source's own key, if it does.

        Raises:
            Refusal: the id is that of no item.
        """
        if subject.sys_id:
            found = self._finder.by_id(subject.sys_id, table)
            if found is None:
                raise Refusal(
                    "INVALID_INPUT_DATA",
                    f"Found invalid sys_id in payload. No record with sys_id [{subject.sys_id}] "
                    f"exist in table [{table}] or is a duplicate record with [duplicate_of] field "
                    "set to a main CI",
                )
            return Identified(found=found)
        if subject.source is not None and self._policy.sources:
            found = self._finder.by_source(subject.source, table)
            if found is not None:
                return Identified(found=found, attempts=(_source_attempt(Result.MATCHED),))
        return None

    def identify(self, subject: Subject, rules: Sequence[Rule]) -> Identified:
        """Apply the rule of the class, and those of its parents as far as entries allow it."""
        attempts = list(self._source_attempts(subject))
        rule = rules[0]
        check_rule(rule)
        for rule in rules:
            made = self._by_rule(subject, rule, attempts)
            if made is not None:
                return made
            if rule.independent or not any(entry.fallback for entry in _active(rule)):
                break
        if any(attempt.result is Result.NO_MATCH and attempt.rule for attempt in attempts):
            return Identified(attempts=tuple(attempts))
        if subject.host is not None and not subject.host.sys_id and _usable(subject, rules[0]):
            return Identified(attempts=tuple(attempts))
        return Identified(attempts=tuple(attempts), problem=_missing(rules[0]))

    def _source_attempts(self, subject: Subject) -> Iterator[Attempt]:
        if subject.source is not None and self._policy.sources:
            yield _source_attempt(Result.NO_MATCH)
        elif self._policy.enhanced:
            yield _source_attempt(Result.SKIPPED)

    def _by_rule(self, subject: Subject, rule: Rule, attempts: list[Attempt]) -> Identified | None:
        """Try the entries in order; None where none of them found anything."""
        if subject.host is not None and not subject.host.sys_id:
            return None  # nothing can stand beside a host that is new
        for entry in _active(rule):
            found = self._try(subject, rule, entry)
            if found is None:
                attempts.append(_attempt(rule, entry, Result.SKIPPED))
            elif not found:
                attempts.append(_attempt(rule, entry, Result.NO_MATCH))
            elif len(found) == 1 or entry.lookup:
                attempts.append(_attempt(rule, entry, Result.MATCHED))
                return Identified(found=found[0], entry=entry.sys_id, attempts=tuple(attempts))
            else:
                return self._several(subject, rule, entry, found, attempts)
        return None

    def _several(
        self,
        subject: Subject,
        rule: Rule,
        entry: Entry,
        found: list[Candidate],
        attempts: list[Attempt],
    ) -> Identified:
        """Take the oldest of a small set of duplicates, where the instance is set so."""
        resolved = self._policy.skip_duplicates and len(found) <= self._policy.threshold
        result = Result.MATCHED if resolved else Result.MULTI_MATCH
        attempts.append(_attempt(rule, entry, result))
        return Identified(
            found=found[0] if resolved else None,
            entry=entry.sys_id,
            attempts=tuple(attempts),
            problem=None if resolved else _multiple(subject, entry, self._host_id(subject)),
            duplicates=Duplicates(
                sys_ids=tuple(each.sys_id for each in found),
                rule=rule.sys_id,
                entry=entry.sys_id,
                resolved=resolved,
            ),
        )

    def _host_id(self, subject: Subject) -> str:
        return subject.host.sys_id if subject.host else ""

    def _try(self, subject: Subject, rule: Rule, entry: Entry) -> list[Candidate] | None:
        """Return what an entry finds; None where the payload says too little for it."""
        if entry.lookup:
            return self._by_lookup(subject, rule, entry)
        wanted = criteria(subject, entry)
        if wanted is None:
            return None
        condition = entry.condition if self._policy.conditions else ""
        return self._finder.equal(entry.table, wanted, condition, subject.host)

    def _by_lookup(self, subject: Subject, rule: Rule, entry: Entry) -> list[Candidate] | None:
        """Return the items that the payload's rows of a side table name, the best one first."""
        own = {name: subject.values.get(name, "") for name in entry.own}
        rows = [
            row
            for sub in subject.lookup
            if self._dictionary.is_a(sub.cls, entry.table)
            and (row := _all_of(sub.values, entry.attributes)) is not None
        ]
        if not rows or not all(own.values()):
            return None
        counts: dict[str, int] = {}
        known: dict[str, Candidate] = {}
        for row in rows:
            for each in self._finder.referred(entry, row, rule.applies_to):
                counts[each.sys_id] = counts.get(each.sys_id, 0) + 1
                known.setdefault(each.sys_id, each)
        wanted = len(rows) if entry.exact else max(counts.values(), default=0)
        best = [known[sys_id] for sys_id, count in counts.items() if count == wanted]
        if own and best:
            equal = {c.sys_id for c in self._finder.equal(rule.applies_to, own, "", None)}
            best = [each for each in best if each.sys_id in equal]
        return best


def check_rule(rule: Rule) -> None:
    """Refuse a rule that could not tell items apart.

    Raises:
        Refusal: says what is wrong with it.
    """
    entries = _active(rule)
    if rule.independent and any("sys_class_name" in entry.attributes for entry in entries):
        raise Refusal(
            "NO_CLASS_NAME_FOR_INDEPENDENT_CI",
            "Cannot have 'sys_class_name' as a key field in an Independent Identity Rule on "
            f"'{rule.applies_to}'",
        )
    if not rule.independent and any(entry.lookup for entry in entries):
        raise Refusal(
            "NO_LOOKUP_RULES_FOR_DEPENDENT_CI",
            f"Cannot have Lookup Rule for a Dependent Identity Rule on '{rule.applies_to}'",
        )


def criteria(subject: Subject, entry: Entry) -> dict[str, str] | None:
    """Return the values that an entry on the items' own table compares; None: too few of them.

    With ``nullable`` one is enough, the class not counted, and the others have to be empty.
    """
    values = {
        name: subject.cls if name == "sys_class_name" else subject.values.get(name, "")
        for name in entry.attributes
    }
    given = [name for name, text in values.items() if text and name != "sys_class_name"]
    needed = [name for name in values if name != "sys_class_name"]
    if not needed or not given or (len(given) < len(needed) and not entry.nullable):
        return None
    return values


def keys_of(subject: Subject, rule: Rule, dictionary: Dictionary) -> Iterator[tuple[str, ...]]:
    """Yield what identifies an item, for comparison with other items and for locks.

    Texts are compared without regard to case, as the database does.
    """
    if subject.source is not None:
        yield "source", subject.source.name, subject.source.key, rule.applies_to
    if subject.sys_id:
        yield "sys_id", subject.sys_id
    for entry in _active(rule):
        if entry.lookup:
            rows = sorted(
                _folded(row)
                for sub in subject.lookup
                if dictionary.is_a(sub.cls, entry.table)
                and (row := _all_of(sub.values, entry.attributes)) is not None
            )
            own = tuple(subject.values.get(name, "").lower() for name in entry.own)
            if rows and all(own):
                yield (entry.sys_id, *own, *(text for row in rows for text in row))
        elif (values := criteria(subject, entry)) is not None:
            yield entry.sys_id, *_folded(values)


def _folded(values: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(text.lower() for text in values.values())


def _active(rule: Rule) -> list[Entry]:
    return [entry for entry in rule.entries if entry.active]


def _usable(subject: Subject, rule: Rule) -> bool:
    return any(criteria(subject, entry) is not None for entry in _active(rule))


def _all_of(values: Mapping[str, str], names: Sequence[str]) -> dict[str, str] | None:
    found = {name: values.get(name, "") for name in names}
    return found if found and all(found.values()) else None


def _attempt(rule: Rule, entry: Entry, result: Result) -> Attempt:
    return Attempt(
        rule=rule.name,
        result=result,
        attributes=entry.attributes,
        table=entry.table,
        own=entry.own,
    )


def _source_attempt(result: Result) -> Attempt:
    return Attempt(rule="", result=result, info=f"sys_object_source {result}")


def _missing(rule: Rule) -> Problem:
    entries = "; ".join(
        " + ".join((*entry.attributes, *entry.own)) + (f" in {entry.table}" if entry.lookup else "")
        for entry in _active(rule)
    )
    return Problem(
        "MISSING_MATCHING_ATTRIBUTES",
        "In payload missing minimum set of input values for criterion (matching) attributes from "
        f"identify rule for table [{rule.applies_to}]. Give one of these: {entries}",
    )


def _multiple(subject: Subject, entry: Entry, host: str) -> Problem:
    fields = ", ".join(entry.attributes)
    if subject.host is not None:
        return Problem(
            "MULTI_MATCH",
            f"Duplicate dependent records found having fields [{fields}] with same CI "
            f"(className:[{subject.host.cls}], sysId:[{host}])",
        )
    return Problem(
        "MULTIPLE_DUPLICATE_RECORDS",
        f"Found duplicate records in table [{entry.table}] using fields [{fields}]",
    )
