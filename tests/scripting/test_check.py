"""The check of scripts: what it finds, what it leaves alone, and the names it goes by."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from midspan.cli.commands import run
from midspan.scripting.check import Check, Reader, Report, open_reader

from .api_names import FILE, text


@pytest.fixture(scope="module", name="reader")
def reader_fixture() -> Iterator[Reader]:
    with open_reader() as opened:
        yield opened


def check(reader: Reader, *scripts: str) -> Report:
    return Check(reader).run((f"{at}.js", script) for at, script in enumerate(scripts))


def found(reader: Reader, *scripts: str) -> list[tuple[int, int, str]]:
    return [(each.line, each.column, each.message) for each in check(reader, *scripts).findings]


def test_the_names_are_those_of_the_prelude_and_the_cases() -> None:
    assert FILE.read_text(encoding="utf-8") == text(), (
        "Renew it: .venv/bin/python -m tests.scripting.api_names"
    )


def test_a_syntax_error_has_its_place_and_its_line(reader: Reader) -> None:
    report = check(reader, "var a = 1;\n  gs.info(;\n")
    only = report.findings[0]
    assert (only.file, only.line, only.column, only.kind) == ("0.js", 2, 11, "syntax")
    assert only.source == "gs.info(;"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("gs.inof('x');", "there is no gs.inof; did you mean info?"),
        ("new GlideRecrod('a');", "there is no GlideRecrod; did you mean GlideRecord?"),
        (
            "var g = new GlideRecord('a'); g.addQuerry('b');",
            "there is no GlideRecord.addQuerry; did you mean addQuery?",
        ),
        ("current.upddate();", "there is no GlideRecord.upddate; did you mean update?"),
        (
            "(function executeRule(current, previous) { previous.isNewRecrd(); })(a, b);",
            "there is no GlideRecord.isNewRecrd; did you mean isNewRecord?",
        ),
        (
            "var m = new sn_ws.RESTMessageV2(); var r = m.execute(); r.getBodyy();",
            "there is no RESTResponseV2.getBodyy; did you mean getBody?",
        ),
        (
            "(function process(request, response) { response.setStats(1); })(request, response);",
            "there is no RESTAPIResponse.setStats; did you mean setStatus?",
        ),
        ("new GlideEmailOutbound().save();", "new GlideEmailOutbound() is not available here"),
        ("gs.sql('x');", "gs.sql is not available here"),
    ],
)
def test_what_is_not_there_is_reported(reader: Reader, script: str, message: str) -> None:
    assert message in [text for _, _, text in found(reader, script)]


@pytest.mark.parametrize(
    "script",
    [
        "var g = new GlideRecord('a'); g = other(); g.anything();",  # it may be something else
        "function f(gr) { gr.anything(); }",
        "var gs = {own: function () {}}; gs.own();",
        "var g = new GlideRecord('a'); g.caller_id.name.toString(); g.state.getDisplayValue();",
        "var o = Object.keys({}); [1].map(String); JSON.stringify(o);",
        "return sn_ws_err.NotFoundError('x');",
        "label: for (;;) { break label; }",
        "const {a, b: [c]} = f(); class X { m() { return `${a}`; } } new X().m(c);",
    ],
)
def test_what_is_right_or_cannot_be_traced_is_left_alone(reader: Reader, script: str) -> None:
    assert found(reader, script) == []


def test_an_include_of_the_folder_is_known_and_another_is_expected(reader: Reader) -> None:
    report = check(
        reader,
        "var Mine = Class.create(); Mine.prototype = {type: 'Mine'};",
        "new Mine().go(); new Theirs().go();",
    )
    assert report.findings == []
    assert list(report.others) == ["Theirs"]


def test_scripts_of_browsers_are_only_parsed(reader: Reader) -> None:
    report = check(reader, "function onLoad() { g_form.hide(); gs.nothing(); }", "g_form.(")
    assert report.client == ["0.js"]
    assert [each.kind for each in report.findings] == ["syntax"]


def test_parity_counts_by_method(reader: Reader) -> None:
    report = check(reader, "gs.info(1); gs.info(2); gs.sql(3);")
    assert [(use.owner, use.method, use.status, use.count) for use in report.uses] == [
        ("GlideSystem", "info", "supported", 2),
        ("GlideSystem", "sql", "missing", 1),
    ]
    assert (report.count("supported"), report.count("missing")) == (2, 1)


def test_a_script_is_never_run_and_one_too_deep_harms_no_other(reader: Reader) -> None:
    report = check(reader, "for (;;) {}", "(" * 500_000, "gs.inof()")
    kinds = [(each.file, each.kind) for each in report.findings]
    assert kinds == [("1.js", "syntax"), ("2.js", "unknown")]
    assert "stack" in report.findings[0].message


def test_a_long_script_is_read(reader: Reader) -> None:
    line = "f(function (b) { return b.c ? [b.d, {e: b + 1}] : gs.info('x'); });\n"
    report = check(reader, line * 1_000)
    assert report.findings == []
    assert report.count("supported") == 1_000


def test_the_command_reports_as_text_and_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.js").write_text("gs.info('x');\n")
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "b.js").write_text("(")
    assert run(["script", "check", str(tmp_path), "--parity"]) == 0
    assert "supported info 1" in capsys.readouterr().out
    (tmp_path / "in" / "c.js").write_text("gs.inof('x');\n")
    assert run(["script", "check", str(tmp_path), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["files"] == 2
    assert document["calls"] == {"supported": 1, "partial": 0, "missing": 0, "unknown": 1}
    assert document["findings"][0]["file"] == "in/c.js"
    assert document["findings"][0]["source"] == "gs.inof('x');"


def test_a_folder_without_scripts_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["script", "check", str(tmp_path)]) == 3
    assert "There is no script in" in capsys.readouterr().err


def _update(table: str, body: str, action: str = "INSERT_OR_UPDATE") -> str:
    row = f'<{table} action="{action}">{body}</{table}>'
    record = f'<record_update table="{table}">{row}</record_update>'
    return f"<sys_update_xml><payload>{escape(record)}</payload></sys_update_xml>"


def test_scripts_of_an_update_set_are_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = _update(
        "sys_script",
        "<name>Set &amp; go</name><script><![CDATA[var a = 1;\nif (a {]]></script>"
        "<condition>gs.hasRole(</condition><sys_id>1</sys_id>",
    )
    unknown = _update(
        "sys_ws_operation",
        "<name>List</name><operation_script>\n\ngs.infoo('x');</operation_script>",
    )
    gone = _update("sys_script_include", "<name>Gone</name><script>(</script>", "DELETE")
    include = _update("sys_script_include", "<name>Own</name><script>function Own() {}</script>")
    twin = _update("sys_script_include", "<name>Own</name><sys_id>2</sys_id><script>Own()</script>")
    updates = f"{broken}{unknown}{gone}{include}{twin}"
    head = '<?xml version="1.0" encoding="UTF-8"?>'
    (tmp_path / "set.xml").write_text(f"{head}<unload>{updates}</unload>")
    (tmp_path / "records.xml").write_text(
        "<unload><sys_script action='INSERT_OR_UPDATE'><script>gs.info(1)</script>"
        "<sys_id>9</sys_id></sys_script></unload>"
    )
    (tmp_path / "pom.xml").write_text("<!DOCTYPE x><project><script>(</script></project>")
    (tmp_path / "plain.js").write_text("gs.info('x');")
    assert run(["script", "check", str(tmp_path), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["files"] == 7
    places = [(each["file"], each["line"], each["kind"]) for each in found["findings"]]
    assert places == [
        ("set.xml: sys_script Set & go", 2, "syntax"),
        ("set.xml: sys_script Set & go.condition", 1, "syntax"),
        ("set.xml: sys_ws_operation List.operation_script", 3, "unknown"),
    ]
    assert "Own" not in found["others"]
    assert run(["script", "check", str(tmp_path / "records.xml")]) == 0
    (tmp_path / "broken.xml").write_text("<unload><sys_script>")
    assert run(["script", "check", str(tmp_path / "broken.xml")]) != 0
    assert "broken.xml cannot be read" in capsys.readouterr().err
    assert run(["script", "check", str(tmp_path), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["files"] == 8
    unreadable = [each for each in found["findings"] if each["file"] == "broken.xml"]
    assert [each["kind"] for each in unreadable] == ["syntax"]
