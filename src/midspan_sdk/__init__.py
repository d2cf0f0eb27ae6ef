"""What authors of spokes and MID probes import, and all they import."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from midspan_sdk.action import Action, ActionContext, Repeat, action
from midspan_sdk.errors import (
    ActionError,
    InvalidInputs,
    InvalidSpoke,
    OutcomeUnknown,
    RetryLater,
    SdkError,
    SignInAgain,
    TargetNotAllowed,
)
from midspan_sdk.fields import InputField, fields_of, schema_of
from midspan_sdk.http import (
    ActionHttp,
    ConnectionInfo,
    Headers,
    HttpReply,
    HttpRequest,
    HttpTransport,
    RequestOptions,
)
from midspan_sdk.log import Log
from midspan_sdk.probe import BlockWriter, Column, Probe, ProbeContext, Secret, Target, probe
from midspan_sdk.retry import RetryPolicy

__all__ = [
    "Action",
    "ActionContext",
    "ActionError",
    "ActionHttp",
    "Annotated",
    "BlockWriter",
    "Column",
    "ConnectionInfo",
    "Headers",
    "HttpReply",
    "HttpRequest",
    "HttpTransport",
    "InputField",
    "InvalidInputs",
    "InvalidSpoke",
    "Log",
    "Meta",
    "OutcomeUnknown",
    "Probe",
    "ProbeContext",
    "Repeat",
    "RequestOptions",
    "RetryLater",
    "RetryPolicy",
    "SdkError",
    "Secret",
    "SignInAgain",
    "Struct",
    "Target",
    "TargetNotAllowed",
    "action",
    "field",
    "fields_of",
    "probe",
    "schema_of",
]
