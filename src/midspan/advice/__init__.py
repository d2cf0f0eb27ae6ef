"""Which integration mechanism fits: facts in, a reasoned answer and a skeleton out. Pure."""

from midspan.advice.advise import Advice, OpenQuestion, advise
from midspan.advice.mechanism import CARDS, Mechanism
from midspan.advice.reference import reference
from midspan.advice.rules import INFERENCES, LIMITS, RULES, Rejected
from midspan.advice.skeleton import skeleton
from midspan.advice.vocabulary import FACTS, Fact, parse_facts

__all__ = [
    "CARDS",
    "FACTS",
    "INFERENCES",
    "LIMITS",
    "RULES",
    "Advice",
    "Fact",
    "Mechanism",
    "OpenQuestion",
    "Rejected",
    "advise",
    "parse_facts",
    "reference",
    "skeleton",
]
