"""Server-side scripts: the runner, the objects scripts see, and what their writes belong to."""

from midspan.scripting.prelude import prelude
from midspan.scripting.rest import RestReply, RestRequest, serve
from midspan.scripting.runner import LastingSession, ScriptRunner, ScriptSession, open_pool
from midspan.scripting.unit import Enclosed, PerWrite, Unit
from midspan.scripting.view import DraftView, RecordView, View

__all__ = [
    "DraftView",
    "Enclosed",
    "LastingSession",
    "PerWrite",
    "RecordView",
    "RestReply",
    "RestRequest",
    "ScriptRunner",
    "ScriptSession",
    "Unit",
    "View",
    "open_pool",
    "prelude",
    "serve",
]
