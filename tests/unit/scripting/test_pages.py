"""Pages of wide tables: what a query brings, and what is fetched later, is as of the query."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.unit.scripting.conftest import Run

from midspan.instance import Instance
from midspan.records import delete, insert, update
from midspan.sandbox import JsonValue, Script
from midspan.scripting import PerWrite, ScriptRunner, recordcalls_rows
from midspan.scripting.mentioned import MOST_TEXTS, Mentioned, words_of
from midspan.scripting.recordcalls_rows import RowCalls
from midspan.scripting.recordcalls_tables import Columns, columns_of
from midspan.security import SYSTEM, Actor

ROWS = 5
IDS = [f"{number:032x}" for number in range(0xAB0, 0xAB0 + ROWS)]
FIND = (
    "var gr = new GlideRecord('incident'); gr.addQuery('correlation_id', 'wide'); "
    "gr.orderBy('number'); gr.query(); "
)
ADMIN = "2831a114c611228501d4ea6c309d626d"
LATE = "['cate' + 'gory']"
"""A column that no text mentions."""
OPENED = "function find() { " + FIND + "return gr; } "


@pytest.fixture(autouse=True)
def wide(instance: Instance) -> Iterator[None]:
    """Five incidents, gone afterwards."""
    with instance.records.write(SYSTEM) as transaction:
        for number, sys_id in enumerate(IDS):
            values = {
                "number": f"INC{number}",
                "correlation_id": "wide",
                "category": f"kept {number}",
                "close_notes": f"notes {number}",
                "description": "long " * 10,
            }
            transaction.apply(insert("incident", values, sys_id=sys_id))
    yield
    with instance.records.write(SYSTEM) as transaction:
        for found in transaction.find("incident", "correlation_id=wide^ORcategory=new"):
            transaction.apply(delete("incident", found.sys_id))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Return what sessions are asked: columns of queries (None: all), and columns fetched later."""
    seen: list[tuple[str, Any]] = []
    query, columns = RowCalls.query, RowCalls.columns

    def queried(self: RowCalls, raw: Any) -> JsonValue:
        answer = query(self, raw)
        assert isinstance(answer, dict)
        seen.append(("query", answer.get("columns")))
        return answer

    def fetched(
        self: RowCalls, table: str, ids: list[str], names: list[str], secure: bool
    ) -> list[JsonValue]:
        seen.append(("columns", names))
        return columns(self, table, ids, names, secure)

    monkeypatch.setattr(RowCalls, "query", queried)
    monkeypatch.setattr(RowCalls, "columns", fetched)
    return seen


def test_a_page_has_the_columns_that_the_script_mentions(
    run: Run, asked: list[tuple[str, Any]]
) -> None:
    found = run(
        FIND + "var n = []; while (gr.next()) n.push(gr.close_notes + gr.caller_id.name); n"
    )
    assert found == [f"notes {number}" for number in range(ROWS)]
    [(_, columns)] = asked
    mentioned = {"number", "correlation_id", "close_notes", "caller_id"}
    assert set(columns) == mentioned | {"sys_id", "sys_class_name"}


def test_narrow_tables_short_queries_and_get_bring_all(
    run: Run, instance: Instance, asked: list[tuple[str, Any]]
) -> None:
    narrow = columns_of(instance.holder.current().dictionary, "sys_user_has_role")
    assert len(narrow.names) <= 16
    run("var gr = new GlideRecord('sys_user_has_role'); gr.query();")
    run("var gr = new GlideRecord('incident'); gr.setLimit(1); gr.query();")
    assert (
        run(f"var gr = new GlideRecord('incident'); gr.get('{IDS[1]}'); gr{LATE} + ''") == "kept 1"
    )
    assert asked == [("query", None)] * 3


def test_words_of_includes_are_known_before_they_run(
    instance: Instance, run: Run, asked: list[tuple[str, Any]]
) -> None:
    text = "var WideNotes = {of: function (gr) { return '' + gr.close_notes; }};"
    values = {"name": "WideNotes", "script": text, "active": "true", "access": "public"}
    with instance.records.write(SYSTEM) as transaction:
        include = transaction.apply(insert("sys_script_include", values)).sys_id
    try:
        assert run(FIND + "gr.next(); WideNotes.of(gr)") == "notes 0"
    finally:
        with instance.records.write(SYSTEM) as transaction:
            transaction.apply(delete("sys_script_include", include))
    [(_, columns)] = asked
    assert "close_notes" in columns


def test_the_second_column_that_is_missed_brings_all(
    run: Run, asked: list[tuple[str, Any]]
) -> None:
    text = FIND + (
        f"var out = []; while (gr.next()) out.push(gr{LATE} + '/' + gr['close_' + 'notes']"
        " + gr.getValue('descrip' + 'tion')); out"
    )
    assert run(text) == [f"kept {n}/notes {n}{'long ' * 10}" for n in range(ROWS)]
    assert [kind for kind, _ in asked] == ["query", "columns", "columns"]
    assert asked[1][1] == ["category"]
    assert {"close_notes", "description", "state"} <= set(asked[2][1])
    assert not {"category", "sys_id"} & set(asked[2][1])


def test_a_session_that_keeps_missing_columns_gets_all(
    run: Run, asked: list[tuple[str, Any]]
) -> None:
    run(OPENED + f"for (var i = 0; i < 5; i++) {{ var gr = find(); gr.next(); '' + gr{LATE}; }}")
    columns = [names for kind, names in asked if kind == "query"]
    assert [names is None for names in columns] == [False, False, False, True, True]


def test_all_columns_one_by_one_are_those_of_get(run: Run, asked: list[tuple[str, Any]]) -> None:
    text = f"""{FIND}
    function seen(record) {{
        var all = {{}};
        for (var name in record) all[name] = '' + record[name];
        return JSON.stringify(all);
    }}
    var one = new GlideRecord('incident'); one.get('{IDS[0]}'); gr.next();
    [seen(gr) === seen(one), JSON.stringify(gr) === JSON.stringify(one),
     new GlideRecordUtil().toHashMap(gr)['cate' + 'gory'], gr.getFields().size() > 80]
    """
    assert run(text) == [True, True, "kept 0", True]
    assert len([kind for kind, _ in asked if kind == "columns"]) == 2


ALL = "var all = new GlideRecord('incident'); all.addQuery('correlation_id', 'wide'); "
OTHER = f"var other = new GlideRecord('incident'); other.get('{IDS[1]}'); "
"""Another record object on the row that is read later."""


@pytest.mark.parametrize(
    "write",
    [
        OTHER + "other.setValue('cate' + 'gory', 'new'); other.update();",
        OTHER + "other.deleteRecord();",
        "gr.deleteRecord();",
        ALL + "all.deleteMultiple();",
        ALL + "all.setValue('cate' + 'gory', 'new'); all.updateMultiple();",
        f"new GlideQuery('incident').where('sys_id', '{IDS[1]}').deleteMultiple();",
    ],
)
def test_columns_left_out_are_as_of_the_query(
    run: Run, write: str, asked: list[tuple[str, Any]]
) -> None:
    read = f"'' + gr{LATE} + gr.getDisplayValue('cate' + 'gory')"
    text = (
        FIND + f"gr.next(); gr.next(); {write} var out = [{read}]; gr.next(); out.push({read}); out"
    )
    assert run(text) == ["kept 1kept 1", "kept 2kept 2"]
    assert asked[0][1] is not None
    assert "category" not in asked[0][1]


def test_the_own_update_shows_the_stored_row(run: Run, asked: list[tuple[str, Any]]) -> None:
    text = (
        FIND.replace("gr.orderBy", f"gr.addQuery('sys_id', '{IDS[1]}'); gr.orderBy")
        + f"""
    gr.next(); gr.close_notes = 'more'; gr.update(); var out = ['' + gr{LATE}];
    {OTHER} other.setValue('cate' + 'gory', 'new'); other.update();
    out.push('' + gr{LATE}); gr.setLocation(0); out.push('' + gr{LATE}); out
    """
    )
    assert run(text) == ["kept 1", "kept 1", "kept 1"]
    assert [kind for kind, _ in asked] == ["query", "query"], "nothing was fetched for the update"


def test_a_copy_has_all_columns(run: Run, instance: Instance) -> None:
    copied = run(FIND + "gr.next(); gr.next(); gr.insert()")
    again = run(FIND + "gr.next(); gr.next(); gr.deleteRecord(); gr.number = 'again'; gr.insert()")
    with instance.records.read(SYSTEM) as transaction:
        for sys_id in (copied, again):
            found = transaction.require("incident", str(sys_id))
            assert (found.get("category"), found.get("close_notes")) == ("kept 1", "notes 1")


def test_a_row_that_others_deleted_keeps_what_was_read(
    instance: Instance, runner: ScriptRunner
) -> None:
    with runner.session(PerWrite(instance.records, SYSTEM)) as session:
        session.run(Script("one", FIND + "gr.next(); gr.next();"), discard=True)
        with instance.records.write(SYSTEM) as transaction:
            transaction.apply(delete("incident", IDS[1]))
            transaction.apply(update("incident", IDS[2], {"close_notes": "later"}))
        read = f"['' + gr.number, '' + gr{LATE}, gr.isValidRecord()]"
        assert session.run(Script("two", read)) == ["INC1", "", True]
        assert session.run(Script("three", f"gr.next(); {read}")) == ["INC2", "kept 2", True]


def test_columns_are_fetched_for_later_pages_too(
    run: Run, monkeypatch: pytest.MonkeyPatch, asked: list[tuple[str, Any]]
) -> None:
    monkeypatch.setattr(recordcalls_rows, "PAGE", 2)
    text = f"""{FIND}
    var out = []; while (gr.next()) out.push('' + gr{LATE});
    gr.setLocation(0); out.push('' + gr{LATE}, '' + gr['close_' + 'notes'], gr.getRowCount()); out
    """
    expected = [f"kept {n}" for n in range(ROWS)]
    assert run(text) == [*expected, "kept 0", "notes 0", ROWS]
    fetched = [names for kind, names in asked if kind == "columns"]
    assert fetched == [["category"], ["close_notes"]], "a later page has what was read before"


def test_long_rows_are_fetched_in_parts(
    run: Run, monkeypatch: pytest.MonkeyPatch, asked: list[tuple[str, Any]]
) -> None:
    text = f"""{FIND}
    function read() {{ return '' + gr{LATE} + gr['descrip' + 'tion'].length; }}
    monkey(); var out = []; while (gr.next()) out.push(read());
    gr.setLocation(0); out.push(read()); out
    """
    size = 2 * len(f"{IDS[0]}incident")

    def shrink() -> JsonValue:
        monkeypatch.setattr(recordcalls_rows, "PAGE_SIZE", size)
        return None

    monkeypatch.setattr(RowCalls, "class_of", lambda *_: shrink())
    found = run("function monkey() { new GlideRecordUtil().getGR('incident', 'x'); } " + text)
    assert found == [*(f"kept {n}50" for n in range(ROWS)), "kept 050"]
    assert len([kind for kind, _ in asked if kind == "columns"]) > ROWS


def test_what_no_text_mentions_is_said_to_be_read_by_glide_query(
    run: Run, asked: list[tuple[str, Any]]
) -> None:
    text = """
    new GlideQuery('incident').where('correlation_id', 'wide').orderBy('number')
        .select('cate' + 'gory', 'caller' + '_id.na' + 'me')
        .map(function (row) { return row['cate' + 'gory']; }).toArray(9)
    """
    assert run(text) == [f"kept {number}" for number in range(ROWS)]
    [(_, columns)] = asked
    assert {"category", "caller_id"} <= set(columns)


@pytest.mark.parametrize("ids_are_shown", [True, False])
def test_what_access_hides_stays_hidden(
    instance: Instance,
    runner: ScriptRunner,
    asked: list[tuple[str, Any]],
    ids_are_shown: bool,
) -> None:
    ann = Actor(sys_id="a" * 32, user_name="ann", roles=frozenset({"itil"}))
    rules = [("category", "number=INC1"), ("close_notes", "number=nowhere")]
    if not ids_are_shown:
        rules.append(("sys_id", ""))
    with instance.records.write(SYSTEM) as transaction:
        made = [
            transaction.apply(
                insert(
                    "sys_security_acl",
                    {"name": f"incident.{name}", "operation": "read", "condition": condition},
                )
            ).sys_id
            for name, condition in rules
        ]
        if not ids_are_shown:
            admin = {"sys_security_acl": made[-1], "sys_user_role": ADMIN}
            transaction.apply(insert("sys_security_acl_role", admin))
    text = (
        FIND.replace("GlideRecord", "GlideRecordSecure")
        + f"""
    var out = []; while (gr.next()) out.push(['' + gr.number, '' + gr{LATE}, gr['close_' + 'notes']
        + gr['descrip' + 'tion'].length, gr.getUniqueValue()]); out
    """
    )
    try:
        found = runner.run(Script("s", text), unit=PerWrite(instance.records, ann))
    finally:
        with instance.records.write(SYSTEM) as transaction:
            for sys_id in made:
                transaction.apply(delete("sys_security_acl", sys_id))
    assert found == [
        [f"INC{n}", "kept 1" if n == 1 else "", "50", IDS[n] if ids_are_shown else None]
        for n in range(ROWS)
    ]
    assert (asked[0][1] is not None) is ids_are_shown


def test_words_are_kept_of_the_last_texts(instance: Instance) -> None:
    table = instance.holder.current().dictionary.table("incident")
    columns = columns_of(instance.holder.current().dictionary, "incident")
    mentioned = Mentioned()
    mentioned.note("x.category")
    assert "category" in (mentioned.among(table, columns, []) or ())
    for number in range(MOST_TEXTS):
        mentioned.note(f"x{number}.state")
    found = mentioned.among(table, columns, ["priority"]) or []
    assert "category" not in found
    assert {"state", "priority"} <= set(found)
    mentioned.note(" ".join(columns.names))
    assert mentioned.among(table, columns, []) is None
    assert Mentioned().among(table, Columns(columns.names[:16], ()), []) is None
    assert words_of("a.b_1['c']") == {"a", "b_1", "c"}
