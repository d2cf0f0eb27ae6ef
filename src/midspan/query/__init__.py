"""Queries: encoded text to condition, condition to plan, plan evaluated on values. Pure."""

from midspan.query.aggregate import Grouping, GroupOrder, HavingTerm, plan_aggregate
from midspan.query.condition import (
    ALWAYS,
    NEVER,
    And,
    Condition,
    Form,
    Operator,
    Or,
    Order,
    Query,
    Related,
    RelatedTerm,
    Term,
    Test,
    Unread,
    both,
    paths_of,
    related_in,
)
from midspan.query.evaluate import Counter, awaited_changes, evaluate, in_order
from midspan.query.moments import asks_who_or_when
from midspan.query.parse import format_query, parse, parse_term
from midspan.query.plan import (
    Aggregate,
    AggregatePlan,
    GroupSort,
    Having,
    Mask,
    ReadPlan,
    Sort,
)
from midspan.query.planner import (
    ReadOptions,
    plan_read,
    resolve_condition,
    resolve_query,
)
from midspan.query.related import belonging
from midspan.query.resolve import Unknown, display_path
from midspan.query.sessionvalues import ValueResolver

__all__ = [
    "ALWAYS",
    "NEVER",
    "Aggregate",
    "AggregatePlan",
    "And",
    "Condition",
    "Counter",
    "Form",
    "GroupOrder",
    "GroupSort",
    "Grouping",
    "Having",
    "HavingTerm",
    "Mask",
    "Operator",
    "Or",
    "Order",
    "Query",
    "ReadOptions",
    "ReadPlan",
    "Related",
    "RelatedTerm",
    "Sort",
    "Term",
    "Test",
    "Unknown",
    "Unread",
    "ValueResolver",
    "asks_who_or_when",
    "awaited_changes",
    "belonging",
    "both",
    "display_path",
    "evaluate",
    "format_query",
    "in_order",
    "parse",
    "parse_term",
    "paths_of",
    "plan_aggregate",
    "plan_read",
    "related_in",
    "resolve_condition",
    "resolve_query",
]
