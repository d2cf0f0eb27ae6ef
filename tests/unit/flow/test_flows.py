"""Flows end to end in one process: trigger, run, journal, crash and restart, on both databases."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from midspan.apps.load import builtin_hash
from midspan.instance import Instance
from midspan.jobs import ManualJobs
from midspan.kernel.clock import ManualClock
from midspan.kernel.errors import InvalidDefinition, OperationAborted
from midspan.kernel.settings import Settings
from midspan.records import Record, insert, update
from midspan.security.actor import SYSTEM
from midspan_spokes.slack.loopback import LoopbackServer
from midspan_spokes.slack.receiver import Fault, SlackReceiver

CHANGE_APPROVED = """
name: Tell the channel about approved changes
trigger: {table: change_request, when: updated, condition: approvalCHANGESTOapproved}
steps:
  - id: urgent
    if:
      condition: trigger.record.priority<=2
      then:
        - id: note
          log: "{{trigger.record.number}} is urgent: {{trigger.record.priority.display_value}}"
  - id: post
    action:
      spoke: slack
      action: post_webhook
      connection: x_midspan_slack.changes
      inputs:
        text: "{{trigger.record.number}} of {{trigger.record.requested_by.name}} was approved"
  - id: done
    log: "delivered: {{steps.post.delivered}}"
"""
INCIDENT_P1 = """
name: Tell the channel about priority 1
trigger: {table: incident, condition: priority=1, run: once}
steps:
  - id: post
    action:
      spoke: slack
      action: post_webhook
      connection: x_midspan_slack.changes
      inputs: {text: "{{trigger.record.number}}: {{trigger.record.short_description}}"}
"""


class Crash(BaseException):
    """The process dies here."""


class World:
    """An instance that can be lost and opened again over the same data."""

    def __init__(self, folder: Path, database: str, url: str) -> None:
        self.settings = Settings(data=folder, database=database, egress="127.0.0.1")
        self.clock = ManualClock()
        self.receiver_url = url
        self.crash_at = ""
        self.open()

    def open(self) -> None:
        self.instance = Instance(self.settings, clock=self.clock)
        self.instance.flows.interpreter.checkpoint = self._checkpoint
        assert isinstance(self.instance.jobs, ManualJobs)
        self.jobs = self.instance.jobs
        self.jobs.start()

    def _checkpoint(self, point: str) -> None:
        if point == self.crash_at:
            self.crash_at = ""
            raise Crash

    def restart(self) -> None:
        self.instance.close()
        self.open()

    def create(self, table: str, **values: str) -> str:
        with self.instance.records.write(SYSTEM) as transaction:
            return transaction.apply(insert(table, values)).sys_id

    def change(self, table: str, sys_id: str, **values: str) -> None:
        with self.instance.records.write(SYSTEM) as transaction:
            transaction.apply(update(table, sys_id, values))

    def flow(self, definition: str) -> str:
        values = {"name": "f", "active": "true", "status": "published", "definition": definition}
        return self.create("sys_hub_flow", **values)

    def work(self) -> None:
        self.instance.dispatcher.drain()
        self.jobs.run_due()

    def runs(self) -> list[Record]:
        return self.instance.flows.runs(SYSTEM)

    def steps(self, run: Record) -> list[str]:
        steps = self.instance.flows.show(SYSTEM, run.sys_id).steps
        return [step.get("state") for step in steps]

    def connect(self, secret: str) -> None:
        alias = self.create("sys_alias", id="x_midspan_slack.changes", name="Slack changes")
        credential = self.create("api_key_credentials", name="hook", type="webhook", api_key=secret)
        fields = {"connection_alias": alias, "credential": credential}
        self.create("http_connection", name="slack", connection_url=self.receiver_url, **fields)


@pytest.fixture
def slack() -> Iterator[tuple[SlackReceiver, str]]:
    receiver = SlackReceiver()
    with LoopbackServer(receiver) as server:
        yield receiver, server.url


@pytest.fixture(params=["sqlite", "postgresql"])
def world(
    request: pytest.FixtureRequest,
    new_database: Callable[[], str],
    slack: tuple[SlackReceiver, str],
) -> Iterator[World]:
    database = new_database() if request.param == "postgresql" else ""
    with tempfile.TemporaryDirectory() as folder:
        # So the instance knows that the copied database is of this release, as it does on SQLite.
        (Path(folder) / "apps.hash").write_text(builtin_hash())
        made = World(Path(folder), database, slack[1])
        made.connect(f"{slack[1]}{slack[0].webhook_path}")
        yield made
        made.instance.close()


def approve(world: World) -> str:
    user = world.create("sys_user", user_name="ada", name="Ada Byron")
    change = world.create("change_request", short_description="x", priority="1", requested_by=user)
    world.change("change_request", change, approval="requested")
    world.change("change_request", change, approval="approved")
    return change


def test_an_approval_posts_one_message(world: World, slack: tuple[SlackReceiver, str]) -> None:
    world.flow(CHANGE_APPROVED)
    change = approve(world)
    world.change("change_request", change, approval="rejected")
    world.work()
    (run,) = world.runs()
    assert run.get("state") == "COMPLETE", run.get("error")
    with world.instance.records.read(SYSTEM) as transaction:
        number = transaction.require("change_request", change).get("number")
    assert [m.text for m in slack[0].messages] == [f"{number} of Ada Byron was approved"]
    view = world.instance.flows.show(SYSTEM, run.sys_id)
    assert [step.get("path") for step in view.steps] == [
        "urgent",
        "urgent.then.note",
        "post",
        "done",
    ]
    assert [line.get("message") for line in view.log] == [
        f"{number} is urgent: 1 - Critical",
        "delivered: true",
    ]


def test_one_action_serves_two_flows_and_once_is_once(
    world: World, slack: tuple[SlackReceiver, str]
) -> None:
    world.flow(CHANGE_APPROVED)
    world.flow(INCIDENT_P1)
    incident = world.create("incident", short_description="down", impact="1", urgency="1")
    world.change("incident", incident, short_description="still down")
    approve(world)
    world.work()
    assert sorted(run.get("state") for run in world.runs()) == ["COMPLETE", "COMPLETE"]
    assert len(slack[0].messages) == 2


@pytest.mark.parametrize(
    ("point", "state", "messages"),
    [
        ("intent", "OUTCOME_UNKNOWN", 0),
        ("effect", "OUTCOME_UNKNOWN", 0),
        ("answer", "OUTCOME_UNKNOWN", 1),
    ],
)
def test_a_crash_around_the_effect_never_posts_twice(
    world: World, slack: tuple[SlackReceiver, str], point: str, state: str, messages: int
) -> None:
    world.flow(CHANGE_APPROVED)
    approve(world)
    world.crash_at = point
    with pytest.raises(Crash):
        world.work()
    world.restart()
    world.work()
    (run,) = world.runs()
    assert run.get("state") == state
    assert len(slack[0].messages) == messages
    assert world.steps(run) == ["complete", "complete", "unknown"]


@pytest.mark.parametrize(
    ("fault", "messages"),
    [
        (Fault(drop=True, stored=True), 1),
        (Fault(status=404, body="no_service"), 0),
        (Fault(status=429, body="rate_limited", retry_after=30), 0),
    ],
    ids=["unknown", "error", "waiting"],
)
def test_a_step_and_its_run_end_at_once(
    world: World, slack: tuple[SlackReceiver, str], fault: Fault, messages: int
) -> None:
    """Killed between the two, the step had ended and the run went on to end as something else."""
    slack[0].inject(fault)
    world.flow(CHANGE_APPROVED)
    approve(world)
    world.crash_at = "end"
    with pytest.raises(Crash):
        world.work()
    world.restart()
    (run,) = world.runs()
    assert run.get("state") == "IN_PROGRESS"
    assert world.steps(run)[-1] == "intended"
    world.work()
    (run,) = world.runs()
    assert run.get("state") == "OUTCOME_UNKNOWN", run.get("error")
    assert world.steps(run)[-1] == "unknown"
    assert len(slack[0].messages) == messages


def test_what_surely_was_not_sent_is_tried_again(
    world: World, slack: tuple[SlackReceiver, str]
) -> None:
    slack[0].inject(Fault(status=429, body="rate_limited", retry_after=30))
    world.flow(CHANGE_APPROVED)
    approve(world)
    world.work()
    assert world.runs()[0].get("state") == "WAITING"
    world.restart()
    world.jobs.advance(timedelta(seconds=31))
    (run,) = world.runs()
    assert run.get("state") == "COMPLETE"
    assert len(slack[0].messages) == 1
    post = world.instance.flows.show(SYSTEM, run.sys_id).steps[2]
    assert post.get("attempts") == "2"


def test_an_answer_that_never_came_is_not_guessed(
    world: World, slack: tuple[SlackReceiver, str]
) -> None:
    slack[0].inject(Fault(drop=True, stored=True))
    world.flow(CHANGE_APPROVED)
    approve(world)
    world.work()
    assert world.runs()[0].get("state") == "OUTCOME_UNKNOWN"
    world.jobs.advance(timedelta(hours=1))
    assert len(slack[0].messages) == 1


def test_a_cancelled_run_goes_no_further(world: World, slack: tuple[SlackReceiver, str]) -> None:
    world.flow(CHANGE_APPROVED)
    approve(world)
    world.instance.dispatcher.drain()
    assert world.instance.flows.cancel(world.runs()[0].sys_id)
    world.jobs.run_due()
    assert world.runs()[0].get("state") == "CANCELLED"
    assert slack[0].messages == []


@pytest.mark.parametrize(
    ("point", "state", "steps"),
    [("", "ERROR", []), ("intent", "OUTCOME_UNKNOWN", ["complete", "complete", "unknown"])],
)
def test_a_run_that_kills_its_processes_is_given_up(
    world: World, slack: tuple[SlackReceiver, str], point: str, state: str, steps: list[str]
) -> None:
    world.flow(CHANGE_APPROVED)
    approve(world)
    world.instance.dispatcher.drain()
    with world.instance.database.read() as transaction:
        ((job, _),) = world.jobs.table.due(transaction, 2)
    if point:
        world.crash_at = point
        with pytest.raises(Crash):
            world.jobs.run_due()
    for _ in range(99 if point else 100):
        world.jobs.table.release()
        assert world.jobs.table.claim(job) is not None
    world.jobs.table.release()
    world.work()
    (run,) = world.runs()
    assert run.get("state") == state
    assert run.get("error") == "The run cannot go on: The job ended 100 processes"
    assert world.steps(run) == steps
    assert slack[0].messages == []


def test_a_run_keeps_the_version_it_started_with(
    world: World, slack: tuple[SlackReceiver, str]
) -> None:
    flow = world.flow(CHANGE_APPROVED)
    approve(world)
    world.instance.dispatcher.drain()
    world.change("sys_hub_flow", flow, definition=CHANGE_APPROVED.replace('approved"', 'ok"'))
    world.jobs.run_due()
    assert slack[0].messages[0].text.endswith("was approved")


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (("post_webhook", "post_webhok"), "Did you mean 'post_webhook'?"),
        (("spoke: slack", "spoke: slak"), "Did you mean 'slack'?"),
        (("text:", "txt:"), "Did you mean 'text'?"),
        (("requested_by.name", "requested_by.nam"), "Did you mean 'name'?"),
        (("approvalCHANGES", "aprovalCHANGES"), "approval"),
        (("slack.changes", "slack.change"), "Did you mean 'x_midspan_slack.changes'?"),
        (("id: done", "id: post"), "used twice"),
        (("steps.post.delivered", "steps.pst.delivered"), "Did you mean 'post'?"),
    ],
)
def test_activation_refuses_unknown_names(world: World, wrong: tuple[str, str], text: str) -> None:
    with pytest.raises(OperationAborted) as caught:
        world.flow(CHANGE_APPROVED.replace(*wrong))
    assert text in str(caught.value.detail)


def test_a_dry_test_sends_nothing(world: World, slack: tuple[SlackReceiver, str]) -> None:
    world.flow(CHANGE_APPROVED)
    change = approve(world)
    previews = world.instance.flows.test(SYSTEM, "f", change)
    assert [preview.path for preview in previews] == ["urgent", "urgent.then.note", "post", "done"]
    assert "of Ada Byron was approved" in previews[2].inputs["text"]
    assert slack[0].messages == []


def test_a_dry_test_lists_what_is_wrong(world: World) -> None:
    broken = CHANGE_APPROVED.replace("text:", "txt:")
    values = {"name": "draft", "definition": broken}
    world.create("sys_hub_flow", **values)
    with pytest.raises(InvalidDefinition) as caught:
        world.instance.flows.test(SYSTEM, "draft", "x")
    assert "step 'post'" in str(caught.value.detail)
