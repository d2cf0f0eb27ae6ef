"""Business rules: rows of ``sys_script`` that need no script, and built-in behaviour."""

from midspan.rules.builtin import PRIORITIES, REQUIRE_CLOSE_CODE
from midspan.rules.hook import MESSAGES, BusinessRules, refusal
from midspan.rules.index import RULES, RuleIndex, build_index
from midspan.rules.rule import Rule, RuleProblem, check_rule, compile_rule

PARTS = (RULES, PRIORITIES)
"""What the ``SnapshotHolder`` of the instance has to load for rules."""

__all__ = [
    "MESSAGES",
    "PARTS",
    "PRIORITIES",
    "REQUIRE_CLOSE_CODE",
    "RULES",
    "BusinessRules",
    "Rule",
    "RuleIndex",
    "RuleProblem",
    "build_index",
    "check_rule",
    "compile_rule",
    "refusal",
]
