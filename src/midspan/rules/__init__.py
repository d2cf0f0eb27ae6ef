"""Business rules: rows of ``sys_script``, scripts included, and built-in behaviour."""

from midspan.rules.accessscripts import RecordAccessScripts
from midspan.rules.actions import ACTIONS, ScriptActions
from midspan.rules.builtin import PRIORITIES, REQUIRE_CLOSE_CODE
from midspan.rules.check import ScriptCheck
from midspan.rules.defaults import ScriptedDefaults
from midspan.rules.hook import BusinessRules
from midspan.rules.index import RULES, RuleIndex, build_index
from midspan.rules.later import LaterRules
from midspan.rules.rule import Rule, RuleProblem, check_rule, compile_rule
from midspan.rules.running import MESSAGES, refusal
from midspan.rules.schedule import ScheduledScripts
from midspan.rules.scripted import ScriptedRules
from midspan.rules.triggers import ScriptTriggers

PARTS = (RULES, PRIORITIES, ACTIONS)
"""What the ``SnapshotHolder`` of the instance has to load for rules."""

__all__ = [
    "ACTIONS",
    "MESSAGES",
    "PARTS",
    "PRIORITIES",
    "REQUIRE_CLOSE_CODE",
    "RULES",
    "BusinessRules",
    "LaterRules",
    "RecordAccessScripts",
    "Rule",
    "RuleIndex",
    "RuleProblem",
    "ScheduledScripts",
    "ScriptActions",
    "ScriptCheck",
    "ScriptTriggers",
    "ScriptedDefaults",
    "ScriptedRules",
    "build_index",
    "check_rule",
    "compile_rule",
    "refusal",
]
