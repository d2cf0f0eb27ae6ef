"""What the routes of ``mid`` take and answer: the messages of ``midspan_link.protocol``."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from midspan.api.description import (
    BYTES,
    JSON,
    TEXT,
    Answer,
    Body,
    Description,
    Parameter,
    listed,
    members,
    query,
    result,
    segment,
    struct,
    texts,
)
from midspan_link import protocol

_TAG = "MID servers"
_REFUSALS = {
    400: "The message is none of the protocol.",
    401: "The agent or its signature is not known.",
    403: "The agent may not do this.",
    404: "There is no such job.",
    409: "The agent does not hold the job any more.",
    413: "The message is too large.",
}
_ID = segment("id", "Id of the job.")
_FENCE = query("fence", "Number of the lease.", {"type": "integer", "minimum": 0}, required=True)


def agent_descriptions(shown: tuple[str, ...]) -> Mapping[str, Description]:
    """Return the descriptions by the last part of the routes' names.

    ``shown`` names what an administrator sees of an agent.
    """
    return {**_agents(), **_administrators(shown)}


def _agents() -> dict[str, Description]:
    block = struct(protocol.BlockReply)
    done = protocol.Acknowledged
    number = segment("number", "Number of the block, from 0.", {"type": "integer", "minimum": 0})
    return {
        "enrol": _message("Enrol an agent", protocol.Enrolment, protocol.Enrolled),
        "poll": _message("Wait for jobs", protocol.PollRequest, protocol.PollReply),
        "heartbeat": _message("Say how the agent is", protocol.Heartbeat, protocol.HeartbeatReply),
        "renew": _message("Keep a job", protocol.Renewal, protocol.RenewalReply, _ID),
        "release": _message("Give a job back", protocol.Release, done, _ID),
        "complete": _message("End a job", protocol.Completion, done, _ID),
        "next_block": Description(
            summary="Ask which block is wanted",
            tag=_TAG,
            parameters=(_ID, _FENCE),
            answers={200: Answer("Its number.", block), **_refusals()},
        ),
        "put_block": Description(
            summary="Deliver a block",
            tag=_TAG,
            parameters=(_ID, number, _FENCE),
            body=Body(TEXT, (BYTES,)),
            answers={200: Answer("The number of the next.", block), **_refusals()},
        ),
    }


def _message(
    summary: str, taken: type[Struct], answered: type[Struct], *parameters: Parameter
) -> Description:
    return Description(
        summary=summary,
        tag=_TAG,
        parameters=parameters,
        body=Body(struct(taken)),
        answers={200: Answer("The reply.", struct(answered)), **_refusals()},
    )


def _refusals() -> dict[int, Answer]:
    error = struct(protocol.ErrorBody)
    return {status: Answer(text, error, (JSON,)) for status, text in _REFUSALS.items()}


def _administrators(shown: tuple[str, ...]) -> dict[str, Description]:
    name = Body(members(("name",), name={"type": "string", "minLength": 1}))
    said = Answer("What holds now.", result(texts("sys_id", "name", "validated")))
    words = {
        "validate": "Trust an agent",
        "invalidate": "Stop trusting an agent",
        "withdraw": "Make an agent's key void",
    }
    return {
        "code": Description(
            summary="Make a code to enrol with",
            tag=_TAG,
            body=name,
            answers={201: Answer("The code.", result(texts("code", "name", "expires")))},
            refuses=(400, 409),
        ),
        "list": Description(
            summary="List the agents",
            tag=_TAG,
            answers={200: Answer("Agents by name.", result(listed(texts("sys_id", *shown))))},
            refuses=(400,),
        ),
        **{
            word: Description(
                summary=summary,
                tag=_TAG,
                body=name,
                answers={200: said},
                refuses=(400, 404, 409),
            )
            for word, summary in words.items()
        },
    }
