"""What an action accepts, what it becomes, and what its errors mean for the step."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midspan_sdk import (
    ActionContext,
    InvalidInputs,
    Meta,
    OutcomeUnknown,
    RetryLater,
    RetryPolicy,
    Struct,
    action,
    field,
)
from midspan_sdk.testing import ActionHarness, json_reply, text_reply


class Inputs(Struct, frozen=True):
    name: Annotated[str, Meta(max_length=5)]
    count: int = 1
    active: bool = False
    tags: list[str] = field(default_factory=list)
    options: dict[str, int] | None = None


class Outputs(Struct, frozen=True):
    seen: dict[str, Any]


@action("Echo", repeat="safe")
async def echo(inputs: Inputs, ctx: ActionContext) -> Outputs:
    """Give the inputs back."""
    return Outputs(seen={each: getattr(inputs, each) for each in inputs.__struct_fields__})


def run(**inputs: Any) -> dict[str, Any]:
    seen = ActionHarness([]).run(echo, **inputs)["seen"]
    assert isinstance(seen, dict)
    return seen


def test_what_the_decorator_gives() -> None:
    assert (echo.name, echo.title, echo.description) == ("echo", "Echo", "Give the inputs back.")
    assert [each.type for each in echo.input_fields] == [
        "string",
        "integer",
        "boolean",
        "array.string",
        "object",
    ]
    assert set(echo.schema) == {"inputs", "outputs"}


def test_text_from_a_flow_is_read_as_the_fields_type() -> None:
    assert run(name="a", count="7", active="true", tags='["x"]', options='{"k": 2}') == {
        "name": "a",
        "count": 7,
        "active": True,
        "tags": ["x"],
        "options": {"k": 2},
    }


def test_empty_text_and_none_mean_not_given() -> None:
    assert run(name="", count="", active=None, tags="", options=None) == {
        "name": "",
        "count": 1,
        "active": False,
        "tags": [],
        "options": None,
    }


@pytest.mark.parametrize(
    ("inputs", "field_name", "text"),
    [
        ({}, "name", "echo needs input 'name' (string)"),
        ({"name": None}, "name", "echo needs input 'name' (string)"),
        ({"nam": "a"}, "nam", "echo has no input 'nam'. Did you mean 'name'?"),
        ({"name": "abcdef"}, "name", "Expected str of length <= 5"),
        ({"name": "a", "count": "x"}, "count", "Expected int"),
        ({"name": "a", "tags": "[1]"}, "tags", "Expected str"),
        ({"name": "a", "tags": "x"}, "tags", "expects array.string as JSON"),
        ({"name": "a", "options": '{"k": "v"}'}, "options", "Expected int"),
    ],
)
def test_wrong_inputs_are_named(inputs: dict[str, Any], field_name: str, text: str) -> None:
    with pytest.raises(InvalidInputs) as caught:
        run(**inputs)
    assert caught.value.field == field_name
    assert text in caught.value.message


@given(st.dictionaries(st.sampled_from(["name", "count", "tags", "options", "x"]), st.text()))
def test_any_text_is_read_or_refused_by_name(inputs: dict[str, str]) -> None:
    try:
        read = echo.check(inputs)
        blamed = ""
    except InvalidInputs as error:
        read, blamed = None, error.field
    assert isinstance(read, Inputs) or blamed in {"name", *inputs}


def test_decorator_refuses_another_shape() -> None:
    with pytest.raises(TypeError, match="expected `async def no_types"):

        @action("No types", repeat="safe")
        async def no_types(inputs, ctx):  # type: ignore[no-untyped-def]
            return None

    with pytest.raises(TypeError, match="expected `async def plain"):

        @action("Not async", repeat="safe")  # type: ignore[arg-type]
        def plain(inputs: Inputs, ctx: ActionContext) -> Outputs:
            return Outputs(seen={})

    with pytest.raises(ValueError, match="expected safe, keyed or never, got 'always'"):
        action("Wrong", repeat="always")  # type: ignore[arg-type]


def poster(repeat: Any) -> Any:
    @action("Post twice", repeat=repeat)
    async def post_twice(inputs: Inputs, ctx: ActionContext) -> Outputs:
        keys = [ctx.key]
        await ctx.http.post("/one", json=inputs, expect={200})
        keys.append(ctx.key)
        await ctx.http.post("/two", data={"a": "b c"}, params={"q": ["x", "y"], "on": True})
        return Outputs(seen={"keys": keys})

    return post_twice


def test_every_call_has_its_own_key_and_a_second_run_has_the_same() -> None:
    harness = ActionHarness([json_reply({})] * 4)
    first = harness.run(poster("keyed"), group="run-9/3/0/1", name="a")
    again = harness.run(poster("keyed"), group="run-9/3/0/1", name="a")
    assert first["seen"]["keys"] == ["run-9/3/0/1/call-1", "run-9/3/0/1/call-2"]
    assert again == first
    assert [each.key for each in harness.requests] == first["seen"]["keys"] * 2


def test_how_calls_are_worded() -> None:
    harness = ActionHarness([text_reply("")] * 2)
    harness.run(poster("keyed"), name="a", count=2)
    one, two = harness.requests
    assert (one.method, one.url) == ("POST", "/one")
    assert one.headers == {"Content-Type": "application/json; charset=utf-8"}
    assert one.content == b'{"name":"a","count":2,"active":false,"tags":[],"options":null}'
    assert two.url == "/two?q=x&q=y&on=true"
    assert two.content == b"a=b+c"


@pytest.mark.parametrize("repeat", ["safe", "keyed"])
def test_unknown_outcome_of_a_repeatable_action_is_tried_again(repeat: str) -> None:
    harness = ActionHarness([text_reply("down", 503, retry_after="7")])
    with pytest.raises(RetryLater) as caught:
        harness.run(poster(repeat), name="a")
    assert caught.value.after == timedelta(seconds=7)
    assert isinstance(caught.value.__cause__, OutcomeUnknown)


def test_unknown_outcome_of_a_never_action_stays_unknown() -> None:
    with pytest.raises(OutcomeUnknown):
        ActionHarness([text_reply("down", 503)]).run(poster("never"), name="a")
    with pytest.raises(OutcomeUnknown):
        ActionHarness([OutcomeUnknown("no reply")]).run(poster("never"), name="a")


def test_surely_nothing_happened_is_tried_again_even_with_never() -> None:
    with pytest.raises(RetryLater):
        ActionHarness([RetryLater("no connection")]).run(poster("never"), name="a")


def test_retry_policy() -> None:
    policy = RetryPolicy(attempts=6, max_delay=timedelta(seconds=60))
    waits = [policy.delay(attempt) for attempt in range(1, 7)]
    assert [wait and wait.total_seconds() for wait in waits] == [10, 20, 40, 60, 60, None]
    assert policy.delay(1, timedelta(minutes=5)) == timedelta(minutes=5)
    deaf = RetryPolicy(honour_retry_after=False)
    assert deaf.delay(1, timedelta(minutes=5)) == timedelta(seconds=10)
    assert RetryPolicy(attempts=10**9).delay(10**8) == timedelta(minutes=5)
    with pytest.raises(ValueError, match="attempts >= 1"):
        RetryPolicy(attempts=0)
