"""The rules of identification and reconciliation as values; ``rulebook`` reads them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property

from msgspec import Struct

from midspan.dictionary import Dictionary


class Entry(Struct, frozen=True, kw_only=True):
    """One way to know an item: values of its own fields, of rows that refer to it, or of both."""

    sys_id: str
    table: str
    """The table to search: one of the items', or one whose rows refer to items."""
    attributes: tuple[str, ...]
    """Fields of ``table`` that have to be equal."""
    own: tuple[str, ...] = ()
    """Of a hybrid entry: fields of the item itself that have to be equal, too."""
    referenced: str = ""
    """The field of a look-up table that names the item; ``''``: the items' own table."""
    condition: str = ""
    order: int = 100
    exact: bool = False
    """All look-up rows of the payload have to name the item; else the most of them."""
    nullable: bool = False
    """One of the fields is enough; the others may be empty."""
    fallback: bool = False
    """Where nothing matches, the rule of the parent class is asked."""
    active: bool = True

    @property
    def lookup(self) -> bool:
        """Whether it searches rows that refer to items."""
        return bool(self.referenced)


class Rule(Struct, frozen=True, kw_only=True):
    """By what items of a class and its descendants are known."""

    sys_id: str
    name: str
    description: str
    applies_to: str
    independent: bool
    entries: tuple[Entry, ...] = ()
    """By ascending order."""
    related: tuple[Entry, ...] = ()
    """By what rows of side tables are known, once their item is."""


class Dependency(Struct, frozen=True):
    """A relation without which items of the class ``dependent`` cannot be told apart."""

    dependent: str
    host: str
    type: str
    """sys_id of the relation type."""
    upwards: bool
    """The host is the child of the relation, as in "application runs on server"."""

    @property
    def parent(self) -> str:
        """The class at the parent's end."""
        return self.dependent if self.upwards else self.host

    @property
    def child(self) -> str:
        """The class at the child's end."""
        return self.host if self.upwards else self.dependent


class Precedence(Struct, frozen=True, kw_only=True):
    """One source that may write fields of a class; smaller priorities win."""

    table: str
    source: str
    priority: int
    attributes: frozenset[str] = frozenset()
    """Empty: all."""
    emptied: frozenset[str] = frozenset()
    """Fields that it may empty, too."""
    condition: str = ""
    """Encoded query that the item has to meet."""


class Staleness(Struct, frozen=True):
    """How long the word of a source about a class counts against sources below it."""

    table: str
    source: str
    lasts: timedelta


class SourceRule(Struct, frozen=True):
    """Whether a source is barred from adding items of a class."""

    table: str
    source: str
    barred: bool


class Restriction(Struct, frozen=True, kw_only=True):
    """A change of class that is left out, while the rest of an update is done."""

    sys_id: str
    source: str
    source_below: bool
    target: str
    target_below: bool
    kind: str


class RuleBook(Struct, frozen=True, dict=True):
    """Everything that decides what becomes of a payload; never changes."""

    identifiers: tuple[Rule, ...] = ()
    dependencies: tuple[Dependency, ...] = ()
    precedences: tuple[Precedence, ...] = ()
    staleness: tuple[Staleness, ...] = ()
    source_rules: tuple[SourceRule, ...] = ()
    restrictions: tuple[Restriction, ...] = ()
    relation_types: tuple[tuple[str, str], ...] = ()
    """sys_id and name."""

    @cached_property
    def _by_table(self) -> Mapping[str, Rule]:
        return {rule.applies_to: rule for rule in reversed(self.identifiers)}

    def rules(self, dictionary: Dictionary, cls: str) -> list[Rule]:
        """Return the rules of a class: its own or that of the nearest parent first."""
        return [self._by_table[t] for t in dictionary.ancestors(cls) if t in self._by_table]

    def relations_named(self, name: str) -> list[str]:
        """Return the sys_ids of the relation types of a name."""
        return [sys_id for sys_id, known in self.relation_types if known == name]

    def relation_name(self, sys_id: str) -> str:
        """Return the name of a relation type, its id where there is none."""
        return next((name for known, name in self.relation_types if known == sys_id), sys_id)

    def hosts_of(self, dictionary: Dictionary, cls: str) -> list[Dependency]:
        """Return the dependencies of the nearest class that has any: its own or a parent's."""
        for table in dictionary.ancestors(cls):
            found = [each for each in self.dependencies if each.dependent == table]
            if found:
                return found
        return []

    def barred(self, dictionary: Dictionary, cls: str, source: str) -> bool:
        """Tell whether a source may not add items of a class; the nearest class decides."""
        for table in dictionary.ancestors(cls):
            for rule in self.source_rules:
                if rule.table == table and rule.source == source:
                    return rule.barred
        return False

    def lasts(self, dictionary: Dictionary, cls: str, source: str) -> timedelta | None:
        """Return how long the word of a source counts, None where it never gets stale."""
        for table in dictionary.ancestors(cls):
            for rule in self.staleness:
                if rule.table == table and rule.source == source:
                    return rule.lasts
        return None
