"""Runs scripts for the instance: one session in a worker, host calls into a unit of commit."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property, partial
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from midspan.kernel.clock import Clock
from midspan.kernel.errors import InvalidRequest
from midspan.records import RecordTransaction
from midspan.sandbox import (
    JsonValue,
    Limits,
    PoolOptions,
    SandboxPool,
    SandboxSession,
    Script,
    ScriptError,
)
from midspan.scripting.eventcalls import EventCalls
from midspan.scripting.explain import explained
from midspan.scripting.includes import IncludeCalls
from midspan.scripting.locale import SYSTEM_DEFAULTS
from midspan.scripting.mentioned import Mentioned
from midspan.scripting.prelude import families, prelude
from midspan.scripting.recordcalls import RecordCalls
from midspan.scripting.recordcalls_tables import columns_of, without_hashes
from midspan.scripting.systemcalls import SystemCalls
from midspan.scripting.unit import Successive, Unit
from midspan.scripting.view import View

Calls = Mapping[str, Callable[..., Any]]
Extension: TypeAlias = Callable[[Unit], Calls]
"""Further host calls for the sessions of a unit; whoever joins the instance adds them."""
_SESSION = "midspan.scripting.session"
_DEFAULT_LIMITS = Limits()


def open_pool(
    size: int,
    *,
    clock: Clock | None = None,
    limits: Limits = _DEFAULT_LIMITS,
    options: PoolOptions | None = None,
) -> SandboxPool:
    """Return a pool whose workers know the objects of this package; whoever opens it closes it."""
    return SandboxPool(
        size=size,
        prelude=(prelude(),),
        parts=families(),
        limits=limits,
        clock=clock,
        options=options,
        operators=True,
    )


class _Families:
    """Host calls by name; a family is made when a name is looked for that those before lack.

    Most scripts make few of the calls, and those of the first families.
    """

    def __init__(self, *families: Callable[[], Calls]) -> None:
        self._left = deque(families)
        self._known: dict[str, Callable[..., Any]] = {}

    def find(self, name: str) -> Callable[..., Any] | None:
        """Return the call of a name, or None."""
        while name not in self._known and self._left:
            self._known |= self._left.popleft()()
        return self._known.get(name)


class ScriptSession:
    """Scripts of one unit of work, run one after another in one worker by one thread.

    They share a global scope, as the vendor's transform scripts do, unless the session was opened
    from inside another script's host call: then each run has a scope of its own.

    An importer keeps one session for all rows::

        source, target = RecordView("imp_user", {}), RecordView("sys_user", {})
        with runner.session(Enclosed(transaction)) as session:
            for row in rows:
                source.replace(row)
                target.replace(stored or {}, operation="update" if stored else "insert")
                value = session.answer(field_script, {"source": source, "target": target})
                target.put("user_name", str(value))
    """

    def __init__(
        self,
        sandbox: SandboxSession,
        unit: Unit,
        *,
        nested: bool = False,
        extensions: Sequence[Extension] = (),
        defaults: Mapping[str, str] | None = None,
    ) -> None:
        self.unit = unit
        self._sandbox = sandbox
        self._nested = nested
        self._names: list[str] = []
        self._views: Mapping[str, View] = {}
        self._served: dict[str, tuple[View, int, int]] = {}
        self._mentioned = Mentioned()
        self._includes = IncludeCalls(unit, self.lend, self._active, self._mentioned)
        self._extensions = extensions
        self._defaults = defaults or {}
        self._calls: Calls = {}

    def run(
        self,
        script: Script,
        views: Mapping[str, View] | None = None,
        variables: Mapping[str, JsonValue] | None = None,
        *,
        calls: Calls | None = None,
        discard: bool = False,
    ) -> JsonValue:
        """Run a script and return its completion value.

        ``views`` are the records it sees under ``source``, ``target``, ``current``, ``previous``;
        ``variables`` become plain globals; ``calls`` are further host calls. With ``discard`` the
        value is not looked at.

        Raises:
            ScriptError: it does not compile, it threw, or a limit was reached.
        """
        former_views, self._views = self._views, views or {}
        former_calls, self._calls = self._calls, {**self._calls, **(calls or {})}
        self._names.append(script.name)
        self._mentioned.note(script.text)
        try:
            return self._sandbox.run(
                self._includes.prepare(script),
                variables,
                host=self._answer_call,
                fresh=self._nested,
                discard=discard,
            )
        except ScriptError as error:
            other = explained(error, self._includes.names())
            if other is error:
                raise
            raise other from error.__cause__
        finally:
            self._names.pop()
            self._views, self._calls = former_views, former_calls

    def answer(
        self,
        script: Script,
        views: Mapping[str, View] | None = None,
        variables: Mapping[str, JsonValue] | None = None,
    ) -> JsonValue:
        """Run a script and return what it left in the variable ``answer``; None when nothing.

        Raises:
            ScriptError: as for ``run``.
        """
        asked = Script(script.name, f"{script.text}\n;answer")
        return self.run(asked, views, {"answer": None, **(variables or {})})

    @contextmanager
    def lend(self, write: bool, enforce: bool) -> Iterator[RecordTransaction]:
        """Lend a transaction of the unit; what its rules run is part of this session."""
        lend = self.unit.writing if write else self.unit.reading
        with lend(enforce=enforce) as transaction:
            transaction.locals.setdefault(_SESSION, self._sandbox)
            yield transaction

    def _answer_call(self, name: str, arguments: list[JsonValue]) -> JsonValue | Script:
        call = self._calls.get(name) or self._standing.find(name)
        if call is None:
            raise InvalidRequest(f"There is no host call {name!r}")
        value: JsonValue | Script = call(*arguments)
        return value

    @cached_property
    def _standing(self) -> _Families:
        """The calls of every session."""
        own: Calls = {
            "view.open": self._open_view,
            "view.set": self._set_view,
            "view.abort": self._abort_view,
            "rest.open": _nothing,
            "rest.address": _nothing,
        }
        return _Families(
            lambda: own,
            RecordCalls(self.unit, self.lend, self._mentioned).calls,
            self._includes.calls,
            lambda: SystemCalls(self.unit, self.lend, self._place, self._defaults).calls(),
            lambda: EventCalls(self.lend).calls(),
            *(partial(extension, self.unit) for extension in self._extensions),
        )

    def _running(self) -> str:
        return self._names[-1] if self._names else ""

    def _active(self, stack: str) -> tuple[str, ...]:
        """Return the scripts of a stack, innermost first; without one the script that runs."""
        found = self._sandbox.scripts(stack) if stack else ()
        return found or (self._running(),)

    def _place(self, stack: str) -> tuple[str, int | None]:
        """Return the script of a stack, which may be an include of the one that runs, and line."""
        position = self._sandbox.position(stack) if stack else None
        return (position.script, position.line) if position else (self._running(), None)

    def place(self, stack: str) -> tuple[str, int | None]:
        """Return script and line of a stack of the run that ended last; ``("", None)``: unknown."""
        position = self._sandbox.position(stack, ended=True)
        return (position.script, position.line) if position else ("", None)

    def _open_view(self, name: str, known: int) -> JsonValue:
        """Return a view's record, ``{"version": -1}`` when the script has it, None without one."""
        view = self._views.get(name)
        if view is None:
            return None
        served = self._served.get(name)
        if served is None or served[0] is not view or served[1] != view.version:
            served = (view, view.version, served[2] + 1 if served else 1)
            self._served[name] = served
        if served[2] == known:
            return {"version": -1}
        before, changed = view.before, view.changed
        dictionary = self.unit.store.holder.current().dictionary
        if view.table in dictionary and columns_of(dictionary, view.table).hidden:
            table = dictionary.table(view.table)
            before, changed = without_hashes(table, before), without_hashes(table, changed)
        return {
            "version": served[2],
            "stored": view.stored,
            "table": view.table,
            "operation": view.operation,
            "before": dict(before),
            "changed": dict(changed),
        }

    def _set_view(self, name: str, field: str, text: str) -> None:
        if name in self._views:
            self._views[name].set(field, text)

    def _abort_view(self, name: str, refused: bool) -> None:
        if name in self._views:
            self._views[name].abort(refused)


class LastingSession:
    """Scripts of several transactions, one after the other, that share one global scope."""

    def __init__(self, sandbox: SandboxSession, extensions: Sequence[Extension]) -> None:
        self._sandbox = sandbox
        self._extensions = extensions
        self._begun: tuple[Successive, ScriptSession] | None = None

    @contextmanager
    def within(self, transaction: RecordTransaction) -> Iterator[ScriptSession]:
        """Run scripts inside a transaction; those of its rules have the same worker."""
        if self._begun is None:
            unit = Successive(transaction)
            self._begun = unit, ScriptSession(self._sandbox, unit, extensions=self._extensions)
        unit, session = self._begun
        unit.move(transaction)
        former = transaction.locals.get(_SESSION)
        transaction.locals[_SESSION] = self._sandbox
        try:
            yield session
        finally:
            transaction.locals.pop(_SESSION)
            if former is not None:
                transaction.locals[_SESSION] = former


class ScriptRunner:
    """Opens script sessions on a pool; one per instance, safe to use from many threads."""

    def __init__(self, pool: SandboxPool) -> None:
        self._pool = pool
        self._long = threading.BoundedSemaphore(max(1, pool.stats().size - 1))
        self.extensions: list[Extension] = []
        self.defaults: dict[str, str] = dict(SYSTEM_DEFAULTS)
        """Values of system properties for scripts where nobody set one."""

    def reachable_at(self, url: str) -> None:
        """Say what links of scripts start with, unless a property says another address."""
        self.defaults["glide.servlet.uri"] = f"{url.rstrip('/')}/"
        host = urlsplit(url).hostname or ""
        is_address = ":" in host or host[-1:].isdigit()
        self.defaults["instance_name"] = host if is_address else host.partition(".")[0]

    @contextmanager
    def session(self, unit: Unit, *, limits: Limits | None = None) -> Iterator[ScriptSession]:
        """Open a session for a unit; inside a script's host call it is the same worker again.

        Raises:
            SandboxUnavailable: no worker was free in time.
        """
        enclosing = unit.enclosing
        outer = enclosing.locals.get(_SESSION) if enclosing else None
        if outer is not None:
            yield ScriptSession(
                outer, unit, nested=True, extensions=self.extensions, defaults=self.defaults
            )
            return
        with self._pool.session(_refuse_call, limits=limits) as sandbox:
            if enclosing is not None:
                enclosing.locals[_SESSION] = sandbox
            try:
                yield ScriptSession(
                    sandbox, unit, extensions=self.extensions, defaults=self.defaults
                )
            finally:
                if enclosing is not None:
                    enclosing.locals.pop(_SESSION, None)

    @contextmanager
    def lasting(self) -> Iterator[LastingSession]:
        """Hold a worker for scripts of several transactions.

        Who holds one across the ends of transactions does so inside ``in_turn``.

        Raises:
            SandboxUnavailable: no worker was free in time.
        """
        with self._pool.session(_refuse_call) as sandbox:
            yield LastingSession(sandbox, self.extensions)

    def in_turn(self) -> AbstractContextManager[object]:
        """Wait until one more may hold a worker for long: one stays for everybody else.

        Must not be entered inside a transaction, for which the others may wait in turn.
        """
        return self._long

    def run(
        self,
        script: Script,
        variables: Mapping[str, JsonValue] | None = None,
        *,
        unit: Unit,
        views: Mapping[str, View] | None = None,
        limits: Limits | None = None,
    ) -> JsonValue:
        """Run one script in a session of its own and return its completion value.

        Raises:
            ScriptError: it does not compile, it threw, or a limit was reached.
            SandboxUnavailable: no worker was free in time.
        """
        with self.session(unit, limits=limits) as session:
            return session.run(script, views, variables)


def _nothing(*_: JsonValue) -> None:
    return None


def _refuse_call(name: str, _: list[JsonValue]) -> JsonValue:
    raise InvalidRequest(f"There is no host call {name!r} outside a script session")
