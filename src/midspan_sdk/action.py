"""A spoke's action: one typed async function, and all that a step offers it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

import msgspec
from msgspec import Struct

from midspan_sdk.errors import OutcomeUnknown, RetryLater
from midspan_sdk.fields import InputField, fields_of, schema_of
from midspan_sdk.http import ActionHttp, ConnectionInfo
from midspan_sdk.inputs import convert_inputs, declared_types, summary_of
from midspan_sdk.log import Log
from midspan_sdk.retry import RetryPolicy

I = TypeVar("I", bound=Struct)  # noqa: E741  # inputs, as O is outputs
O = TypeVar("O", bound=Struct)  # noqa: E741

Repeat = Literal["safe", "keyed", "never"]


@dataclass(frozen=True, slots=True)
class ActionContext:
    """What a step gives an action; an action reaches nothing else."""

    http: ActionHttp
    log: Log
    connection: ConnectionInfo

    @property
    def key(self) -> str:
        """The idempotency key of the next call: ``run/step-path/iteration/attempt-group/call-n``.

        A retry of the step asks with the same keys again, so a peer that honours them acts once.
        """
        return self.http.next_key


@dataclass(frozen=True)
class Action:
    """An action as the instance runs it.

    ``repeat`` says what a second run does: ``safe`` changes nothing more, ``keyed`` is recognised
    by the peer through ``ctx.key``, ``never`` would happen twice. ``retry`` None: the
    connection's or the instance's policy.
    """

    name: str
    title: str
    description: str
    repeat: Repeat
    inputs: type[Struct]
    outputs: type[Struct]
    retry: RetryPolicy | None
    function: Callable[[Any, Any], Awaitable[Struct]]

    @property
    def input_fields(self) -> list[InputField]:
        """The inputs in order, for the form."""
        return fields_of(self.inputs)

    @property
    def output_fields(self) -> list[InputField]:
        """The outputs in order, for data pills."""
        return fields_of(self.outputs)

    @property
    def schema(self) -> dict[str, Any]:
        """JSON schemas under ``inputs`` and ``outputs``."""
        return {"inputs": schema_of(self.inputs), "outputs": schema_of(self.outputs)}

    def check(self, raw_inputs: Mapping[str, Any]) -> Struct:
        """Return the inputs as the declared struct, before anything is sent or journaled.

        Raises:
            InvalidInputs: naming the field and what was expected.
        """
        return convert_inputs(self.name, raw_inputs, self.inputs)

    async def run(self, raw_inputs: Mapping[str, Any], ctx: ActionContext) -> dict[str, Any]:
        """Check the inputs, run, return the outputs as plain JSON data.

        Raises:
            InvalidInputs: naming the field and what was expected; nothing was sent.
            ActionError: refused; do not try again.
            RetryLater: try again, also an unknown outcome of a safe or keyed action.
            SignInAgain: renew the credential, then try again.
            OutcomeUnknown: of a ``never`` action only; it must not be tried again.
        """
        inputs = self.check(raw_inputs)
        try:
            outputs = await self.function(inputs, ctx)
        except OutcomeUnknown as error:
            if self.repeat == "never":
                raise
            raise RetryLater(error.message, error.after, detail=error.detail) from error
        plain: dict[str, Any] = msgspec.to_builtins(outputs)
        return plain


def action(
    title: str,
    *,
    repeat: Repeat,
    description: str = "",
    retry: RetryPolicy | None = None,
) -> Callable[[Callable[[I, ActionContext], Awaitable[O]]], Action]:
    """Make ``async def f(inputs: Inputs, ctx: ActionContext) -> Outputs`` the action called ``f``.

    ``repeat`` has no default: whoever writes an action has to know. ``description`` is the first
    line of the function's docstring, or its module's, unless given.

    Raises:
        TypeError: the function has another shape.
        ValueError: ``repeat`` is none of safe, keyed and never.
    """
    if repeat not in get_args(Repeat):
        raise ValueError(f"repeat of {title!r}: expected safe, keyed or never, got {repeat!r}")

    def decorate(function: Callable[[I, ActionContext], Awaitable[O]]) -> Action:
        inputs, outputs = declared_types(function, "inputs", "action")
        return Action(
            name=function.__name__,
            title=title,
            description=description or summary_of(function),
            repeat=repeat,
            inputs=inputs,
            outputs=outputs,
            retry=retry,
            function=function,
        )

    return decorate
