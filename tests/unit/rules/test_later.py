"""What scripts leave for later: async rules and events, each once, on both databases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

import pytest

from midspan.instance import Instance
from midspan.jobs.manual import ManualJobs
from midspan.kernel.clock import ManualClock
from midspan.records import Record, delete, insert, update
from midspan.sandbox import Script
from midspan.scripting import PerWrite
from midspan.security import SYSTEM

from .worlds import find, logged, rules, write


def jobs(instance: Instance) -> ManualJobs:
    assert isinstance(instance.jobs, ManualJobs)
    return instance.jobs


def run(instance: Instance, text: str) -> object:
    return instance.scripts.run(Script("test", text), unit=PerWrite(instance.records, SYSTEM))


@pytest.fixture(autouse=True)
def quiet(instance: Instance) -> None:
    jobs(instance).run_due()
    logged(instance)
    with instance.database.write() as transaction:
        transaction.execute("DELETE FROM sysevent")


@contextmanager
def actions(instance: Instance, *rows: Mapping[str, str]) -> Iterator[None]:
    made = [
        write(instance, insert("sysevent_script_action", {"event_name": "x.told", **row})).sys_id
        for row in rows
    ]
    try:
        yield
    finally:
        for sys_id in made:
            write(instance, delete("sysevent_script_action", sys_id))


def event(instance: Instance, name: str = "x.told") -> Record:
    (found,) = find(instance, "sysevent", f"name={name}")
    return found


def test_async_rules_run_after_the_commit_as_who_saved(instance: Instance) -> None:
    user = write(instance, insert("sys_user", {"user_name": "later", "name": "Later"})).sys_id
    actor = instance._acting(user)
    script = (
        "gs.info([current.operation(), current.short_description, current.state.changes(),"
        " previous === null, gs.getUserName(), {0}].join());"
    )
    second = {"when": "async_always", "script": script.replace("{0}", "2"), "order": "20"}
    first = {
        "when": "async",
        "order": "10",
        "filter_condition": "stateVALCHANGES",
        "condition": "current.state.changesTo('1')",
        "script": script.replace("{0}", "1") + "current.description = 'async'; current.update();",
    }
    with rules(instance, second, first):
        made = write(instance, insert("incident", {"short_description": "a"}), actor)
        assert logged(instance) == []
        assert jobs(instance).run_due() >= 1
        said = [text for _, text in logged(instance)]
        assert said[:2] == ["insert,a,false,true,later,1", "insert,async,false,true,later,2"] or (
            said[:2] == ["insert,a,false,true,later,1", "insert,a,false,true,later,2"]
        )
        assert said[2:] == ["update,a,false,true,later,2"]
        assert find(instance, "incident", f"sys_id={made.sys_id}")[0].get("description") == "async"
        write(instance, update("incident", made.sys_id, {"state": "2"}), actor)
        jobs(instance).run_due()
        assert [text[:6] for _, text in logged(instance)] == ["update"]


def test_a_job_that_is_taken_again_does_nothing_twice(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = {
        "when": "async",
        "action_update": "false",
        "script": "var gr = new GlideRecord('cmn_location'); gr.name = 'Made later'; gr.insert();",
    }
    with rules(instance, rule):
        write(instance, insert("incident", {}))
        queue = jobs(instance)
        handler = queue.table.kinds["rules.async"].handler
        runs = []

        def dies(context: object) -> object:
            """Die after the commit of the work, before anything else can be written."""
            handler(context)  # type: ignore[arg-type]
            runs.append(1)
            raise KeyboardInterrupt

        kind = queue.table.kinds["rules.async"]
        queue.register("rules.async", dies, kind.options)  # type: ignore[arg-type]
        with pytest.raises(KeyboardInterrupt):
            queue.run_due()
        queue.register("rules.async", handler, kind.options)
        assert isinstance(instance.clock, ManualClock)
        queue.advance(timedelta(minutes=5))
        assert len(find(instance, "cmn_location", "name=Made later")) == 1


def test_a_failing_async_rule_is_undone_alone(instance: Instance) -> None:
    failing = "var gr = new GlideRecord('cmn_location'); gr.name = 'Half'; gr.insert();\nbroken();"
    with rules(
        instance,
        {"when": "async", "name": "Fails", "script": failing, "order": "1"},
        {"when": "async", "script": "gs.info('still ran')", "order": "2"},
    ):
        write(instance, insert("incident", {}))
        jobs(instance).run_due()
        assert logged(instance) == [
            ("2", "Business rule 'Fails': ReferenceError: broken is not defined"),
            ("0", "still ran"),
        ]
        assert find(instance, "cmn_location", "name=Half") == []


def test_many_changes_share_jobs(instance: Instance) -> None:
    rule = {
        "when": "async",
        "action_update": "false",
        "script": "gs.info(current.short_description)",
    }
    with rules(instance, rule):
        many = [insert("incident", {"short_description": f"j{n:02}"}) for n in range(45)]
        with instance.records.write(SYSTEM, enforce=False) as transaction:
            transaction.apply_all(many)
        assert len(find(instance, "sys_job", "kind=rules.async^state=scheduled")) == 3
        jobs(instance).run_due()
        assert sorted(text for _, text in logged(instance)) == [f"j{n:02}" for n in range(45)]


def test_an_async_rule_is_for_the_records_that_meet_its_conditions(instance: Instance) -> None:
    asked = {"filter_condition": "urgency=1^EQ", "condition": "current.impact == '1'"}
    script = "gs.info('{0}', current.short_description)"
    with rules(instance, {"when": "async", "script": script, **asked}):
        for urgency, impact in (("1", "1"), ("1", "2"), ("2", "1")):
            values = {"urgency": urgency, "impact": impact, "short_description": urgency + impact}
            write(instance, insert("incident", values))
        jobs(instance).run_due()
        assert logged(instance) == [("0", "11")]


@pytest.mark.parametrize(("value", "runs"), [("false", 2), ("true", 1)])
def test_a_property_has_the_condition_asked_again(
    instance: Instance, value: str, runs: int
) -> None:
    name = "glide.businessrule.async_condition_check"
    switch = write(instance, insert("sys_properties", {"name": name, "value": value}))
    rule = {"when": "async", "condition": "current.urgency == 1", "script": "gs.info('ran')"}
    with rules(instance, rule):
        write(instance, insert("incident", {"urgency": "1"}))
        made = write(instance, insert("incident", {"urgency": "1"}))
        write(instance, update("incident", made.sys_id, {"urgency": "3"}))
        jobs(instance).run_due()
    assert [text for _, text in logged(instance)] == ["ran"] * runs
    write(instance, delete("sys_properties", switch.sys_id))


def test_a_deleted_record_is_shown_as_it_was(instance: Instance) -> None:
    rule = {
        "when": "async",
        "action_insert": "false",
        "action_delete": "true",
        "script": "gs.info(current.operation() + ' ' + current.short_description)",
    }
    with rules(instance, rule):
        made = write(instance, insert("incident", {"short_description": "gone"}))
        write(instance, delete("incident", made.sys_id))
        jobs(instance).run_due()
        assert logged(instance) == [("0", "delete gone")]


def test_events_run_script_actions_in_their_order(instance: Instance) -> None:
    with actions(
        instance,
        {"name": "B", "order": "2", "script": "gs.info('B ' + event.parm2 + current.number)"},
        {"name": "A", "order": "1", "script": "gs.info('A ' + event.name + event.parm1)"},
        {"name": "Off", "active": "false", "script": "gs.info('off')"},
        {"name": "No", "condition_script": "event.parm1 == 'other'", "script": "gs.info('no')"},
    ):
        made = write(instance, insert("incident", {}))
        text = f"var gr = new GlideRecord('incident'); gr.get('{made.sys_id}');"
        run(
            instance,
            f"{text} gs.eventQueue('x.told', gr, 'one', gr.state); gs.eventQueue('x.nobody');",
        )
        assert event(instance).get("state") == "ready"
        assert logged(instance) == []
        jobs(instance).run_due()
        number = made.values["number"]
        assert [text for _, text in logged(instance)] == ["A x.toldone", f"B 1{number}"]
        done = event(instance)
        assert (done.get("state"), done.get("table"), done.get("instance")) == (
            "processed",
            "incident",
            made.sys_id,
        )
        assert done.get("processed")
        assert event(instance, "x.nobody").get("state") == "processed"


def test_an_event_of_a_rolled_back_change_does_not_happen(instance: Instance) -> None:
    script = (
        "gs.eventQueue('x.told', current); if (current.state == 2) current.setAbortAction(true)"
    )
    with rules(instance, {"script": script}), instance.records.write(SYSTEM) as transaction:
        transaction.apply(insert("incident", {}))
        results = transaction.apply_all([insert("incident", {"state": "2"})], collect=True)
        assert len(results) == 1
        many = [insert("incident", {"state": state}) for state in ("2", "1", "2")]
        assert len(transaction.apply_all(many, collect=True)) == 3
    assert len(find(instance, "sysevent")) == 2


def test_events_of_a_queue_keep_their_order_and_their_time(instance: Instance) -> None:
    assert isinstance(instance.clock, ManualClock)
    registered = {"event_name": "x.told", "queue": "slow"}
    register = write(instance, insert("sysevent_register", registered)).sys_id
    with actions(instance, {"name": "Say", "script": "gs.info(event.queue + event.parm1)"}):
        run(
            instance,
            "for (var i = 0; i < 5; i++) gs.eventQueue('x.told', null, i);"
            "gs.eventQueue('x.told', null, 'other', '', 'fast');"
            "var later = new Date(Date.now()); gs.eventQueueScheduled('x.told', null, 'later', '', "
            f"'{(instance.clock.now() + timedelta(minutes=10)):%Y-%m-%d %H:%M:%S}');",
        )
        jobs(instance).run_due()
        said = [text for _, text in logged(instance)]
        assert [text for text in said if text != "fastother"] == [f"slow{i}" for i in range(5)]
        assert "fastother" in said
        jobs(instance).advance(timedelta(minutes=11))
        assert [text for _, text in logged(instance)] == ["slowlater"]
    write(instance, delete("sysevent_register", register))


def test_a_failing_action_ends_its_event_in_error(instance: Instance) -> None:
    failing = "var gr = new GlideRecord('cmn_location'); gr.name = 'Half'; gr.insert();\nbroken();"
    with actions(
        instance,
        {"name": "Fails", "order": "1", "script": failing},
        {"name": "Runs", "order": "2", "script": "gs.info('ran')"},
    ):
        run(instance, "gs.eventQueue('x.told', null)")
        jobs(instance).run_due()
        ended = event(instance)
        assert ended.get("state") == "error"
        assert "broken is not defined" in ended.get("error_string")
        levels = [level for level, _ in logged(instance)]
        assert levels == ["2", "0", "2"]
        assert find(instance, "cmn_location", "name=Half") == []


def test_an_event_needs_a_name_and_a_time_that_is_one(instance: Instance) -> None:
    assert "needs a name" in str(run(instance, "try { gs.eventQueue('') } catch (e) { e.message }"))
    wrong = "try { gs.eventQueueScheduled('x', null, '', '', 'soon') } catch (e) { e.message }"
    assert "'soon' is no date and time" in str(run(instance, wrong))
