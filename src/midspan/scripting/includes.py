"""Script includes and language modes: which there are, and what a name means to a script.

A business rule of no table (``global``) is an include of each name that it defines: its functions
are there for every script, and it is run when the first of them is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from msgspec import Struct

from midspan.dictionary import Dictionary
from midspan.kernel.errors import InvalidRequest
from midspan.records import RecordTransaction, SnapshotPart
from midspan.sandbox import JsonValue, Script
from midspan.scripting.definednames import defined_names
from midspan.scripting.mentioned import Mentioned
from midspan.scripting.unit import Unit
from midspan.storage import Statements, Transaction
from midspan.storage.catalog import columns_of

GLOBAL = "global"
_INCLUDES = "sys_script_include"
_RULES = "sys_script"
_MODES = "sys_es_latest_script"
Loaded = TypeVar("Loaded")


class Include(Struct, frozen=True):
    """An active script include, or a name that a rule of no table defines.

    ``public`` ones may be used from every scope.
    """

    sys_id: str
    name: str
    scope: str
    public: bool
    text: str
    table: str = _INCLUDES
    """The table of its record."""
    callable: bool = False
    """Whether clients may call it."""

    @property
    def api_name(self) -> str:
        """Scope and name, as scripts of other scopes write it."""
        return f"{self.scope}.{self.name}"


class IncludeIndex(Struct, frozen=True):
    """The active script includes by name, and the scopes that a script may name; immutable."""

    by_name: Mapping[str, tuple[Include, ...]] = {}
    scopes: frozenset[str] = frozenset()

    def find(self, name: str, scope: str) -> Include | None:
        """Return what ``name`` means in a scope: its own include, else the global one.

        >>> one = Include("1", "Tool", "x_a", True, "")
        >>> index = IncludeIndex({"Tool": (one,)})
        >>> index.find("Tool", "x_a").api_name, index.find("Tool", "global")
        ('x_a.Tool', None)
        """
        return self.named(scope, name) or self.named(GLOBAL, name)

    def named(self, scope: str, name: str) -> Include | None:
        """Return the include of a scope, or None."""
        found = (each for each in self.by_name.get(name, ()) if each.scope == scope)
        return next(found, None)


def load_includes(transaction: Transaction, dictionary: Dictionary) -> IncludeIndex:
    """Read all active script includes, and the rules that are some; an include goes first."""
    if not _is_there(transaction, dictionary, _INCLUDES):
        return IncludeIndex()
    sql = Statements("midspan.scripting", "includes", transaction.dialect)
    active = (transaction.dialect.name != "sqlite" or 1,)
    by_name: dict[str, list[Include]] = {}
    for sys_id, name, scope, access, text, called in transaction.rows(sql["includes"], active):
        include = Include(
            sys_id,
            name or "",
            scope or GLOBAL,
            access == "public",
            text or "",
            callable=bool(called),
        )
        by_name.setdefault(include.name, []).append(include)
    for include in _shared(transaction, dictionary, sql["shared"], active):
        by_name.setdefault(include.name, []).append(include)
    scopes = frozenset(row[0] for row in transaction.rows(sql["scopes"])) - {GLOBAL}
    return IncludeIndex({name: tuple(found) for name, found in by_name.items()}, scopes)


def _shared(
    transaction: Transaction, dictionary: Dictionary, sql: str, active: tuple[object, ...]
) -> Iterator[Include]:
    """Yield what rules of no table define, in their order."""
    if _is_there(transaction, dictionary, _RULES):
        for sys_id, text in transaction.rows(sql, (*active, *active)):
            for name in defined_names(text or ""):
                yield Include(sys_id, name, GLOBAL, True, text or "", _RULES)


def load_modes(transaction: Transaction, dictionary: Dictionary) -> frozenset[tuple[str, str]]:
    """Read which script records are set to ES5: table and sys_id."""
    if not _is_there(transaction, dictionary, _MODES):
        return frozenset()
    sql = Statements("midspan.scripting", "includes", transaction.dialect)
    rows = transaction.rows(sql["modes"])
    return frozenset((table, sys_id) for table, sys_id, latest in rows if not latest)


def _is_there(transaction: Transaction, dictionary: Dictionary, table: str) -> bool:
    # An upgrade reads the dictionary of the new release before it has made the new tables.
    return table in dictionary and bool(columns_of(transaction, table))


INCLUDES = SnapshotPart(
    "script_includes", frozenset({_INCLUDES, _RULES, "sys_scope"}), load_includes
)
MODES = SnapshotPart("script_modes", frozenset({_MODES}), load_modes)
PARTS = (INCLUDES, MODES)
"""Registered with the ``SnapshotHolder`` of the instance."""


class IncludeCalls:
    """Answers the ``include.`` calls of one session.

    ``active`` returns the scripts of a stack, innermost first; without one that which runs.
    The texts of includes are added to ``mentioned`` before a script can use them.
    """

    def __init__(
        self,
        unit: Unit,
        lend: Callable[[bool, bool], object],
        active: Callable[[str], tuple[str, ...]],
        mentioned: Mentioned,
    ) -> None:
        self._unit = unit
        self._lend = lend
        self._active = active
        self._mentioned = mentioned
        self._scopes: dict[str, tuple[str, str]] = {}

    def calls(self) -> Mapping[str, Callable[..., JsonValue | Script]]:
        """Return the functions by the name of their call."""
        return {
            "include.find": self.find,
            "include.load": self.load,
            "include.has": self.has,
            "include.scope": self.scope,
        }

    def prepare(self, script: Script) -> Script:
        """Return a script in the language mode that its record is set to."""
        place = _place(script.name)
        if place is None or script.es5 or place not in self._part(MODES):
            return script
        return Script(script.name, script.text, es5=True)

    def names(self) -> Iterable[str]:
        """Return all names of script includes, for suggestions."""
        return self._part(INCLUDES).by_name

    def find(self, names: list[str], scope: str | None) -> JsonValue:
        """Return which of ``names`` mean something in ``scope``, None for that of the script.

        Each is a list of name, kind (``include`` or ``scope``) and the scope it belongs to.
        """
        index = self._part(INCLUDES)
        known = [name for name in names if name in index.by_name or name in index.scopes]
        found: list[JsonValue] = []
        for name in known:
            include = index.find(name, scope or self._own_scope())
            if include is not None:
                self._mentioned.note(include.text)
                found.append([name, "include", include.scope])
            elif name in index.scopes:
                found.append([name, "scope", name])
        return found

    def has(self, scope: str, name: str) -> bool:
        """Tell whether a scope has an include."""
        return self._part(INCLUDES).named(scope, name) is not None

    def scope(self, stack: str) -> JsonValue:
        """Return scope and application of the innermost script of a stack, and who called it.

        The application is a record of ``sys_scope``. The caller is the scope of the next other
        script of the stack, None when there is none.
        """
        scripts = self._active(stack)
        scope, application = self._scope_of(scripts[0])
        caller = next((name for name in scripts if name != scripts[0]), None)
        return [scope, application, self._scope_of(caller)[0] if caller else None]

    def load(self, scope: str, name: str, user: str | None) -> Script:
        """Return an include to be run, for a script of scope ``user`` (None: the one that runs).

        Its value is what it defined under its name.

        Raises:
            InvalidRequest: there is none, or it is private to its scope.
        """
        include = self._part(INCLUDES).named(scope, name)
        if include is None:
            raise InvalidRequest(f"There is no active script include {scope}.{name}")
        own = user or self._own_scope()
        if not include.public and own != include.scope:
            raise InvalidRequest(
                f"The script include {include.api_name} is private to its scope and cannot be used "
                f"from scope {own}; set its field access to 'public'"
            )
        self._mentioned.note(include.text)
        asked = f"{include.text}\n;typeof {name} === 'undefined' ? undefined : {name}"
        return self.prepare(Script(f"{include.table}.{include.sys_id}.script", asked))

    def _part(self, part: SnapshotPart[Loaded]) -> Loaded:
        enclosing = self._unit.enclosing
        snapshot = enclosing.snapshot if enclosing else self._unit.store.holder.current()
        return snapshot.part(part)

    def _own_scope(self) -> str:
        return self._scope_of(self._active("")[0])[0]

    def _scope_of(self, name: str) -> tuple[str, str]:
        """Return the scope of a script and the application that has it, both global by default."""
        found = self._scopes.get(name)
        if found is None:
            found = self._scopes[name] = self._read_scope(name)
        return found

    def _read_scope(self, name: str) -> tuple[str, str]:
        place = _place(name)
        if place is None:
            return GLOBAL, GLOBAL
        table, sys_id = place
        with self._lend(False, False) as transaction:  # type: ignore[attr-defined]
            return _scope_of(transaction, table, sys_id)


def _scope_of(transaction: RecordTransaction, table: str, sys_id: str) -> tuple[str, str]:
    if table not in transaction.dictionary:
        return GLOBAL, GLOBAL
    if "sys_scope" not in transaction.dictionary.table(table).fields:
        return GLOBAL, GLOBAL
    found = transaction.load(table, [sys_id]).get(sys_id)
    scope = found.get("sys_scope") if found else ""
    record = transaction.load("sys_scope", [scope]).get(scope) if scope else None
    name = record.get("scope") if record else ""
    return (name, scope) if name and name != GLOBAL else (GLOBAL, GLOBAL)


def _place(name: str) -> tuple[str, str] | None:
    """Return table and sys_id of a script's name, ``table.sys_id.field``."""
    parts = name.split(".")
    return (parts[0], parts[1]) if len(parts) == 3 else None
