"""Flows: readable definitions, triggers, durable runs with a journal."""

from midspan.flow.check import SpokeCatalogue, check_flow
from midspan.flow.definition import Flow, parse_flow
from midspan.flow.interpreter import Interpreter
from midspan.flow.journal import ENDED, Journal, JournalMismatch
from midspan.flow.service import FlowService, Preview, RunView
from midspan.flow.trigger import FLOWS, FlowTriggers

__all__ = [
    "ENDED",
    "FLOWS",
    "Flow",
    "FlowService",
    "FlowTriggers",
    "Interpreter",
    "Journal",
    "JournalMismatch",
    "Preview",
    "RunView",
    "SpokeCatalogue",
    "check_flow",
    "parse_flow",
]
