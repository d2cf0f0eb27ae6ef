"""Maps that scripts steer: what each moment sees, what it may stop, and what it leaves behind."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.importsets.people import People

from midspan.importsets import ImportRun, ImportRunner, LoadResult, SandboxFieldScripts
from midspan.importsets.pushed import PushedRows
from midspan.importsets.run import STEERED_PAGE
from midspan.instance import Instance
from midspan.records import delete, insert, update
from midspan.sandbox import Limits
from midspan.scripting import ScriptRunner, open_pool
from midspan.security import SYSTEM

Make = Callable[..., "Steered"]
WRAPPED = (
    "(function runTransformScript(source, map, log, target) {{ {} }})(source, map, log, target);"
)


@pytest.fixture(scope="module")
def runner() -> Iterator[ScriptRunner]:
    with open_pool(2) as pool:
        yield ScriptRunner(pool)


class Steered(People):
    """An import of people whose map has scripts; the login is the key."""

    def __init__(self, instance: Instance, runner: ScriptRunner, **map_values: str) -> None:
        super().__init__(instance, **map_values)
        self.scripts = SandboxFieldScripts(runner)
        self.runner = ImportRunner(instance.records, instance.clock, self.scripts)
        self.field("user_name", "u_login", coalesce="true")
        self.field("last_name", "u_name")

    def on(self, when: str, script: str, order: int = 100, **more: str) -> None:
        values = {"map": self.map_id, "when": when, "script": script, "order": str(order), **more}
        with self.instance.records.write(SYSTEM, enforce=False) as transaction:
            transaction.apply(insert("sys_transform_script", values))

    def load(self, *rows: str) -> ImportRun:
        """Import rows, each ``login,name``; an ``@`` in a login stands for this import."""
        return self.run("Login,Name\n" + "".join(f"{self.named(row)}\n" for row in rows))

    def named(self, text: str) -> str:
        return text.replace("@", f"-steered-{self.number}")

    def user(self, login: str) -> Mapping[str, str]:
        found = self.users(f"user_name={self.named(login)}")
        assert len(found) < 2
        return found[0] if found else {}

    def value(self, name: str, login: str = "a@") -> str:
        return self.user(login).get(name, "")

    def rows(self, run: ImportRun) -> list[tuple[str, str]]:
        """Return state and comment of the staging rows."""
        query = f"sys_import_set={run.import_set}^ORDERBYsys_import_row"
        with self.instance.records.read(SYSTEM) as transaction:
            found = transaction.find(self.staging, query)
        return [(r.get("sys_import_state"), r.get("sys_import_state_comment")) for r in found]

    def opened(self, run: ImportRun) -> Mapping[str, str]:
        with self.instance.records.read(SYSTEM) as transaction:
            return transaction.require("sys_import_set", run.import_set).values


@pytest.fixture
def make(instance: Instance, runner: ScriptRunner) -> Make:
    return lambda **values: Steered(instance, runner, **values)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "midspan.script"]


def test_moments_come_in_their_order_and_share_their_variables(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "midspan.script")
    people = make(run_script="true", script=WRAPPED.format("seen.push('map ' + action);"))
    people.field(
        "title", "", use_source_script="true", source_script="seen.push('field'); answer = 'T';"
    )
    start = "this.seen = ['start ' + typeof target + (source.u_name + '')];"
    people.on("onStart", WRAPPED.format(start))
    people.on("onBefore", "seen.push('second')", order=200)
    people.on("onBefore", WRAPPED.format("seen.push('before ' + action);"), order=100)
    people.on("onAfter", "seen.push('after ' + action + ' ' + (target.sys_id != ''))")
    end = "seen.push('complete ' + source.u_login.substring(0, 1)); log.info(seen.join('|'));"
    people.on("onComplete", end)
    people.on("onComplete", "target.employee_number = seen.length; target.update();", order=200)
    run = people.load("a@,Ann")
    assert (run.totals.inserts, run.halted) == (1, "")
    assert people.value("employee_number") == "7"
    assert said(caplog) == [
        "start undefined|before insert|second|field|map insert|after insert true|complete a"
    ]
    caplog.clear()
    people.load("a@,Anna")
    assert said(caplog) == [
        "start undefined|before update|second|field|map update|after update true|complete a"
    ]


@pytest.mark.parametrize(
    ("script", "state"),
    [
        ("if (source.u_name == 'No') ignore = true;", "ignored"),
        (WRAPPED.format("if (source.u_name == 'No') ignore = 'true';"), "ignored"),
        (WRAPPED.format("if (source.u_name == 'No') target.setAbortAction(true);"), "ignored"),
        ("if (source.u_name != 'No') return;\nignore = true; return; // it ends here", "ignored"),
        (WRAPPED.format("if (source.u_name == 'No') missing();"), "error"),
    ],
)
def test_a_row_that_is_left_out_keeps_no_other_from_going_through(
    make: Make, script: str, state: str
) -> None:
    people = make()
    people.on("onBefore", script)
    people.on("onAfter", "target.title = 'after'; target.update();")
    run = people.load("a@,Ann", "b@,No", "c@,Cid")
    assert [row[0] for row in people.rows(run)] == ["inserted", state, "inserted"]
    assert (people.user("b@"), people.value("title", "c@")) == ({}, "after")
    if state == "ignored":
        assert people.rows(run)[1][1] == "Row transform ignored by onBefore script"
    else:
        ((row, code, message),) = people.errors(run)
        assert (row, code, "missing" in message) == ("3", "900", True)


def test_after_runs_for_a_row_that_was_ignored(make: Make) -> None:
    people = make()
    people.on("onBefore", "ignore = (action == 'update');")
    people.on("onAfter", "if (ignore) { target.title = 'seen'; target.update(); }")
    people.load("a@,Ann")
    run = people.load("a@,Other")
    assert (run.totals.ignored, people.value("last_name")) == (1, "Ann")
    assert people.value("title") == "seen"


@pytest.mark.parametrize("when", ["onStart", "onBefore", "onAfter"])
def test_an_error_halts_the_run_and_the_set_says_so(make: Make, when: str) -> None:
    people = make()
    people.on(when, "if (source.u_name != 'Ann') { error = true; error_message = 'enough'; }")
    run = people.load("a@,Ann", "b@,Ben", "c@,Cid")
    assert (run.halted, people.opened(run)["state"]) == ("enough", "error")
    assert people.opened(run)["message"] == "enough"
    states = [row[0] for row in people.rows(run)]
    assert (
        states
        == {
            "onStart": ["pending", "pending", "pending"],
            "onBefore": ["inserted", "error", "pending"],
            "onAfter": ["inserted", "inserted", "pending"],
        }[when]
    )


def test_a_run_that_was_halted_goes_on_where_it_ended(make: Make) -> None:
    people = make()
    people.on("onBefore", "error = source.u_name == 'Ben';")
    run = people.load("a@,Ann", "b@,Ben", "c@,Cid")
    assert people.opened(run)["state"] == "error"
    with people.instance.records.write(SYSTEM, enforce=False) as transaction:
        script = transaction.first("sys_transform_script", f"map={people.map_id}")
        assert script is not None
        transaction.apply(update(script.table, script.sys_id, {"script": "error = false;"}))
    (again,) = people.runner.transform(LoadResult(run.import_set, people.staging, 0, ()))
    assert (again.sys_id, again.totals.inserts, again.totals.errors) == (run.sys_id, 2, 1)
    assert [row[0] for row in people.rows(run)] == ["inserted", "error", "inserted"]
    assert people.opened(run)["state"] == "processed"


def test_a_start_that_ignores_leaves_all_rows_to_the_other_maps(make: Make) -> None:
    people = make()
    people.on("onStart", "ignore = true;")
    with people.instance.records.write(SYSTEM, enforce=False) as transaction:
        values = {"source_table": people.staging, "target_table": "sys_user", "order": "200"}
        other = transaction.apply(insert("sys_transform_map", {"name": "Other", **values}))
        entry = {"map": other.sys_id, "target_field": "user_name", "source_field": "u_login"}
        transaction.apply(insert("sys_transform_entry", entry))
    content = people.named("Login,Name\na@,Ann\n").encode()
    first, second = people.runner.import_csv(io.BytesIO(content), people.source)
    assert (first.totals.ignored, second.totals.inserts) == (1, 1)
    assert people.value("last_name") == ""


def test_variables_last_over_the_pages_of_a_run_and_no_longer(make: Make) -> None:
    people = make()
    people.on("onStart", "if (typeof count == 'undefined') count = 0;")
    people.on("onBefore", "count++; target.employee_number = count;")
    logins = [f"u{number}@,Name" for number in range(STEERED_PAGE + 2)]
    assert people.load(*logins).totals.inserts == STEERED_PAGE + 2
    assert people.value("employee_number", f"u{STEERED_PAGE + 1}@") == str(STEERED_PAGE + 2)
    people.load("u0@,Other")
    assert people.value("employee_number", "u0@") == "1"


def test_what_a_script_does_to_the_target(make: Make) -> None:
    people = make()
    wanted = "0123456789abcdef0123456789abcdef"[:-4] + f"{people.number:04x}"
    people.on(
        "onBefore",
        WRAPPED.format(
            f"""
            if (target.isNewRecord()) target.setNewGuidValue('{wanted}');
            target.no_such_field = 'x';
            target.title = [target.operation(), target.last_name, map.name, map.source_table,
                import_set.number.toString().indexOf('ISET')].join();
            target.update();
            target.active = false;
            """
        ),
    )
    people.load("a@,Ann")
    assert people.value("sys_id") == wanted
    assert people.value("title") == f"insert,,{people.source},{people.staging},0"[:60]
    assert people.value("active") == "false"
    assert people.value("sys_mod_count") == "0"
    people.load("a@,Anna")
    assert people.value("title").startswith("update,Ann,")


def test_a_script_keeps_rules_from_running_for_one_row(make: Make) -> None:
    people = make()
    rule = "current.title = 'rule';"
    with people.instance.records.write(SYSTEM, enforce=False) as transaction:
        values = {"collection": "sys_user", "when": "before", "action_insert": "true"}
        more = {"filter_condition": f"user_nameLIKE{people.named('@')}", "advanced": "true"}
        transaction.apply(insert("sys_script", {"name": "r", "script": rule, **values, **more}))
    people.on("onBefore", "if (source.u_name == 'Ann') target.setWorkflow(false);")
    people.load("a@,Ann", "b@,Ben")
    assert (people.value("title"), people.value("title", "b@")) == ("", "rule")


def test_older_map_scripts_get_whether_it_is_an_update(make: Make) -> None:
    script = (
        "(function transformRow(source, target, map, log, isUpdate)"
        " { target.title = isUpdate + '/' + (action === 'update'); })"
        "(source, target, map, log, action === 'update');"
    )
    people = make(run_script="true", script=script)
    people.load("a@,Ann")
    assert people.value("title") == "false/false"
    people.load("a@,Anna")
    assert people.value("title") == "true/true"
    assert make(run_script="false", script="missing();").load("a@,Ann").totals.inserts == 1


@pytest.mark.parametrize(
    ("script", "department", "state"),
    [
        ("if (name == 'department' && value == 'New') ignore = true;", "", "inserted"),
        ("error = true; error_message = 'no ' + value;", "", "error"),
        ("target.title = name + '=' + value;", "New", "inserted"),
    ],
)
def test_scripts_decide_what_is_created_for_a_reference(
    make: Make, script: str, department: str, state: str
) -> None:
    people = make()
    people.field("department", "u_name")
    people.on("onForeignInsert", script)
    run = people.load("a@,New")
    assert people.rows(run)[0] == (state, "no New" if state == "error" else "")
    with people.instance.records.read(SYSTEM) as transaction:
        found = transaction.get("cmn_department", people.value("department") or "0")
    assert (found.get("name") if found else "") == department
    if department:
        assert people.value("title") == "department=New"


def test_scripts_hear_of_what_is_rejected(make: Make) -> None:
    people = make()
    people.field("department", "u_name", choice_action="reject")
    people.on("onReject", "log.warn(name + ' ' + value); error_message = 'not ' + value;")
    run = people.load("a@,Nowhere")
    ((_, code, message),) = people.errors(run)
    assert (code, "Nowhere" in message) == ("100", True)


@pytest.mark.parametrize("answer", ["-1", "''", "'0123'", "undefined"])
def test_a_script_that_finds_no_record_makes_a_new_one(make: Make, answer: str) -> None:
    people = People(make().instance)
    people.runner = make().runner
    script = f"answer = source.u_name == 'Known' ? source.u_login : {answer};"
    people.field("sys_id", "", coalesce="true", use_source_script="true", source_script=script)
    people.field("last_name", "u_name")
    run = people.run("Login,Name\nx,Ann\n")
    assert run.totals.inserts == 1
    ((target,),) = [
        [row["sys_id"] for row in people.users("last_name=Ann^ORDERBYDESCsys_created_on")][:1]
    ]
    assert len(target) == 32
    again = people.run(f"Login,Name\n{target},Known\n")
    assert (again.totals.updates, people.users(f"sys_id={target}")[0]["last_name"]) == (1, "Known")


def test_the_sender_of_a_row_hears_what_scripts_say(make: Make) -> None:
    people = make()
    people.load("a@,Ann")
    people.on("onBefore", "status_message = 'fine ' + action; response.ticket = {n: 7};")
    people.on("onAfter", "error_message = 'but';")
    pushed = PushedRows(people.instance.records, people.scripts)
    rows: list[Any] = [{"u_login": people.named(f"{each}@"), "u_name": "Eve"} for each in "ae"]
    first, second = (one for (one,) in pushed.push(people.staging, rows, actor=SYSTEM).rows)
    assert (first.status, second.status) == ("updated", "inserted")
    assert (first.status_message, second.status_message) == ("fine update", "fine insert")
    assert (first.error_message, first.told.fields) == ("but", {"ticket": {"n": 7}})


def test_a_halt_answers_all_rows_that_were_sent(make: Make) -> None:
    people = make()
    people.load("a@,Ann")
    people.on("onBefore", "error = source.u_name == 'Eve';")
    pushed = PushedRows(people.instance.records, people.scripts)
    rows: list[Any] = [{"u_login": people.named(f"{each}@"), "u_name": "Eve"} for each in "ef"]
    results = [one for (one,) in pushed.push(people.staging, rows, actor=SYSTEM).rows]
    assert [one.status for one in results] == ["error", "error"]
    assert results[0].error_message == "The transform was stopped by an onBefore script"


def test_without_a_sandbox_such_rows_are_refused(instance: Instance, make: Make) -> None:
    people = make()
    people.on("onBefore", "ignore = false;")
    people.runner = ImportRunner(instance.records, instance.clock)
    assert people.load("a@,Ann").totals.errors == 1


@pytest.mark.parametrize(
    "harm", ["while (true) {}", "var a = []; while (true) a.push('x' + a.length);"]
)
def test_a_script_out_of_bounds_ends_the_run(instance: Instance, harm: str) -> None:
    limits = Limits(wall=timedelta(seconds=1), cpu=timedelta(seconds=1), memory=16 * 1024 * 1024)
    with open_pool(1, limits=limits) as pool:
        people = Steered(instance, ScriptRunner(pool))
        people.on("onBefore", f"if (source.u_name == 'Ben') {{ {harm} }}")
        people.on("onComplete", "log.info('complete');")
        run = people.load("a@,Ann", "b@,Ben", "c@,Cid")
        assert [row[0] for row in people.rows(run)] == ["inserted", "error", "pending"]
        assert people.opened(run)["state"] == "error"
        assert people.opened(run)["message"] == run.halted
        assert people.user("b@") == {}
        other = Steered(instance, ScriptRunner(pool))
        other.on("onBefore", "target.title = 'well';")
        other.load("a@,Ann")
        assert other.value("title") == "well"


def test_rules_of_the_target_run_in_the_worker_of_the_map(instance: Instance) -> None:
    with open_pool(1) as pool:
        people = Steered(instance, ScriptRunner(pool))
        people.on("onBefore", "shared = 'map';")
        people.on("onAfter", "target.title = shared + target.employee_number; target.update();")
        rule = {
            "name": "r",
            "collection": "sys_user",
            "when": "before",
            "action_insert": "true",
            "advanced": "true",
            "filter_condition": f"user_nameLIKE{people.named('@')}",
            "script": "shared = 'rule'; current.employee_number = typeof target;",
        }
        with instance.records.write(SYSTEM, enforce=False) as transaction:
            made = transaction.apply(insert("sys_script", rule))
        people.load("a@,Ann")
        assert people.value("title") == "mapundefined"
        with instance.records.write(SYSTEM, enforce=False) as transaction:
            transaction.apply(delete("sys_script", made.sys_id))
