"""Server-side scripts beside the same engine with nothing around it, in one process and one run.

The bare peer is a sandbox without prelude and rewrite. It has a host function that hands over pages
of 100 rows of the same SQL, so that it also crosses the process wall and reads the same database;
it has no access rules, dictionary, references, cursor positions or field objects. An update by
script is compared with the record engine itself, which is given the same changes from Python.

Peers take turns; every figure is the median of its rounds, and the best and worst are shown.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median

from compared import Compared, Goal, compared, report

from midspan.instance import Instance
from midspan.records import Change, insert, update
from midspan.sandbox import JsonValue, Limits, SandboxPool, Script
from midspan.scripting import PerWrite, ScriptRunner, open_pool
from midspan.security import SYSTEM
from midspan.testing import open_instance

ROWS = 10_000
UPDATES = 1_000
STARTS = 200
PAGE = 100
BULK = 10_000
WIDE = 3_000
PAGE_WRITTEN = 500
"""Records of one call of a bulk write, as an import sends them."""
COLUMNS = "number, short_description, category"
SQL = f"SELECT {COLUMNS} FROM task WHERE sys_class_name = 'incident'"  # noqa: S608 - constants
LIMITS = Limits(host_calls=10_000_000)

RULE = """(function executeRule(current, previous) {
  // What a rule of middle size looks like; nothing of it runs.
  if (!current.caller_id || current.state == previous.state) { return; }
  var names = [], gr = new GlideRecord('sys_user');
  gr.addQuery('active', true); gr.orderBy('name'); gr.query();
  while (gr.next()) { if (gr.email && gr.name != current.opened_by.name) names.push(gr.name + ''); }
  current.description = names.join(', ') || 'nobody';
});
1"""
READ = """var gr = new GlideRecord('incident'), n = 0; gr.query();
while (gr.next()) { n += (gr.number + gr.short_description + gr.category).length; }
n"""
BARE_READ = """var n = 0, rows;
while ((rows = page()).length) {
  for (var i = 0; i < rows.length; i++) { var r = rows[i]; n += (r[0] + r[1] + r[2]).length; }
}
n"""
WRITE = f"""var gr = new GlideRecord('incident'), n = 0; gr.setLimit({UPDATES}); gr.query();
while (gr.next()) {{ gr.short_description = text + n++; gr.update(); }}
n"""
RULED, PLAIN = "u_bench_ruled", "u_bench_plain"
TRIVIAL = {
    "name": "Shout",
    "when": "before",
    "action_insert": "true",
    "advanced": "true",
    "script": """(function executeRule(current, previous) {
  current.category = (current.category + '!').toUpperCase();
})(current, previous);""",
}
PAGES = Script("page", "globalThis.page = () => __host('page', []);")


def measure(rounds: int) -> list[Compared]:
    """Measure everything ``rounds`` times."""
    with (
        open_instance("") as instance,
        open_pool(2, limits=LIMITS) as pool,
        SandboxPool(size=2, prelude=[PAGES], limits=LIMITS) as bare,
    ):
        fill(instance)
        runner = ScriptRunner(pool)
        return [
            _starts(instance, runner, bare, rounds),
            _rewrites(instance, runner, bare, rounds),
            _reads(instance, runner, bare, rounds),
            _updates(instance, runner, rounds),
            _bulk(instance, rounds),
            _wide(instance, rounds),
        ]


def fill(instance: Instance) -> None:
    """Make the incidents, with three string fields filled."""
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        for start in range(0, ROWS, PAGE_WRITTEN):
            transaction.apply_all(_page_of("incident", start))


def _page_of(table: str, start: int) -> list[Change]:
    return [
        insert(table, {"short_description": f"number {n}", "category": "network"})
        for n in range(start, start + PAGE_WRITTEN)
    ]


def _starts(instance: Instance, runner: ScriptRunner, bare: SandboxPool, rounds: int) -> Compared:
    unit = PerWrite(instance.records, SYSTEM)
    rule = Script("rule", RULE)

    def ours() -> None:
        runner.run(rule, unit=unit)

    def plain() -> None:
        _bare_run(bare, "1")

    pairs = [(median(_times(ours, STARTS)), median(_times(plain, STARTS))) for _ in range(rounds)]
    return compared("script start, p50, warm", "ms", pairs, goal=Goal("own", 3))


def _rewrites(instance: Instance, runner: ScriptRunner, bare: SandboxPool, rounds: int) -> Compared:
    """Time the first run of a version: its rewrite is part of it."""
    unit = PerWrite(instance.records, SYSTEM)
    number = iter(range(10**9))

    def ours() -> None:
        runner.run(Script("rule", f"{RULE} + {next(number)}"), unit=unit)

    def plain() -> None:
        _bare_run(bare, f"{RULE} + {next(number)}")

    pairs = [(median(_times(ours, 20)), median(_times(plain, 20))) for _ in range(rounds)]
    return compared(f"first run of a version, {len(RULE)} characters, p50", "ms", pairs)


def _reads(instance: Instance, runner: ScriptRunner, bare: SandboxPool, rounds: int) -> Compared:
    unit = PerWrite(instance.records, SYSTEM)
    found: set[JsonValue] = set()

    def ours() -> None:
        found.add(str(runner.run(Script("read", READ), unit=unit)))

    def plain() -> None:
        with _paged(instance) as host, bare.session(host) as session:
            found.add(str(session.run(Script("read", BARE_READ))))

    ours()
    plain()
    if len(found) != 1:
        raise RuntimeError(f"the peers read different rows: {found}")
    pairs = [(ROWS / _once(ours), ROWS / _once(plain)) for _ in range(rounds)]
    name = f"while (gr.next()), {ROWS:,} rows, 3 fields"
    return compared(name, "/s", pairs, goal=Goal("own", 60_000))


def _updates(instance: Instance, runner: ScriptRunner, rounds: int) -> Compared:
    unit = PerWrite(instance.records, SYSTEM)
    number = iter(range(10**9))
    with instance.records.read(SYSTEM) as transaction:
        ids = [row.sys_id for row in transaction.find("incident", "", limit=UPDATES)]

    def ours() -> None:
        text = {"text": f"ours {next(number)} "}
        if runner.run(Script("write", WRITE), text, unit=unit) != UPDATES:
            raise RuntimeError("the script changed another number of records")

    def plain() -> None:
        text = f"plain {next(number)} "
        for position, sys_id in enumerate(ids):
            with instance.records.write(SYSTEM, enforce=False) as transaction:
                values = {"short_description": f"{text}{position}"}
                transaction.apply(update("incident", sys_id, values))

    pairs = [(UPDATES / _once(ours), UPDATES / _once(plain)) for _ in range(rounds)]
    name = f"{UPDATES:,} gr.update()"
    return compared(name, "/s", pairs, peer="record engine", goal=Goal("share", 0.5))


def _bulk(instance: Instance, rounds: int) -> Compared:
    """Time inserts of pages into a table with one rule, and into its twin without one."""
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        for table in (RULED, PLAIN):
            transaction.apply(insert("sys_db_object", {"name": table, "label": table}))
            for name in ("short_description", "category"):
                column = {"name": table, "element": name, "internal_type": "string"}
                transaction.apply(insert("sys_dictionary", column))
        transaction.apply(insert("sys_script", {"collection": RULED, **TRIVIAL}))

    def written(table: str) -> Callable[[], None]:
        def write() -> None:
            with instance.records.write(SYSTEM, enforce=False) as transaction:
                for start in range(0, BULK, PAGE_WRITTEN):
                    transaction.apply_all(_page_of(table, start))

        return write

    ours, plain = written(RULED), written(PLAIN)
    ours()
    _check_ruled(instance, RULED, BULK)
    plain()
    pairs = [(BULK / _once(ours), BULK / _once(plain)) for _ in range(rounds)]
    name = f"bulk insert of {BULK:,} with a trivial rule"
    return compared(name, "/s", pairs, peer="without rule", goal=Goal("own", 5000))


def _wide(instance: Instance, rounds: int) -> Compared:
    """Time inserts of pages of incidents, a wide table with rules of its own."""
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        values = {"collection": "incident", **TRIVIAL, "active": "false"}
        rule = transaction.apply(insert("sys_script", values)).sys_id

    def switch(active: str) -> None:
        with instance.records.write(SYSTEM, enforce=False) as transaction:
            transaction.apply(update("sys_script", rule, {"active": active}))

    def write() -> None:
        for start in range(0, WIDE, PAGE_WRITTEN):
            with instance.records.write(SYSTEM, enforce=False) as transaction:
                transaction.apply_all(_page_of("incident", start))

    def rate(active: str) -> float:
        switch(active)
        return WIDE / _once(write)

    rate("true")
    _check_ruled(instance, "incident", WIDE)
    rate("false")
    pairs = [(rate("true"), rate("false")) for _ in range(rounds)]
    name = f"bulk insert of {WIDE:,} incidents with a trivial rule, pages of {PAGE_WRITTEN}"
    return compared(name, "/s", pairs, peer="without rule")


def _check_ruled(instance: Instance, table: str, wanted: int) -> None:
    """Make sure that the rule ran for every record.

    Raises:
        RuntimeError: it did not.
    """
    with instance.records.read(SYSTEM) as transaction:
        found = len(transaction.find(table, "category=NETWORK!", limit=wanted + 1))
    if found != wanted:
        raise RuntimeError(f"the rule ran for {found} records of {wanted}")


@contextmanager
def _paged(instance: Instance) -> Iterator[Callable[[str, list[JsonValue]], JsonValue]]:
    """Give a host function that answers with the next page, then with an empty one."""
    with instance.database.read() as transaction:
        rows: list[JsonValue] = [list(row) for row in transaction.rows(SQL)]
    pages = iter([*(rows[at : at + PAGE] for at in range(0, len(rows), PAGE)), []])

    def host(name: str, arguments: list[JsonValue]) -> JsonValue:
        return next(pages)

    yield host


def _bare_run(bare: SandboxPool, text: str) -> None:
    with bare.session(lambda name, arguments: None) as session:
        session.run(Script("bare", text))


def _times(action: Callable[[], None], count: int) -> list[float]:
    action()
    return [_once(action) * 1000 for _ in range(count)]


def _once(action: Callable[[], None]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    sys.stdout.write(report("scripts", measure(parser.parse_args().rounds)) + "\n")
