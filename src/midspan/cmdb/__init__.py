"""Identification and reconciliation: many sources, one item."""

from midspan.cmdb.answer import answer_of
from midspan.cmdb.engine import IdentificationEngine, source_problem
from midspan.cmdb.options import BASIC, Options, options_of
from midspan.cmdb.outcome import ItemOutcome, Operation, Outcome, Refusal
from midspan.cmdb.payload import (
    Item,
    Payload,
    Place,
    Relation,
    read_payload,
    text_of,
)
from midspan.cmdb.rule import Entry, Rule, RuleBook
from midspan.cmdb.rulebook import RULES
from midspan.cmdb.scriptcalls import EngineCalls

__all__ = [
    "BASIC",
    "RULES",
    "EngineCalls",
    "Entry",
    "IdentificationEngine",
    "Item",
    "ItemOutcome",
    "Operation",
    "Options",
    "Outcome",
    "Payload",
    "Place",
    "Refusal",
    "Relation",
    "Rule",
    "RuleBook",
    "answer_of",
    "options_of",
    "read_payload",
    "source_problem",
    "text_of",
]
