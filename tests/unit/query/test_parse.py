"""Reading and writing encoded queries."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from midspan.query import ALWAYS, And, Condition, Operator, Or, Order, Query, Term
from midspan.query.parse import format_query, parse, parse_term


@pytest.mark.parametrize(
    ("text", "operator", "value"),
    [
        ("f=1", Operator.EQUALS, "1"),
        ("f==1", Operator.EQUALS, "=1"),
        ("f!=1", Operator.DIFFERS, "1"),
        ("f=", Operator.IS_EMPTY, ""),
        ("f=NULL", Operator.IS_EMPTY, ""),
        ("f=null", Operator.EQUALS, "null"),
        ("f!=", Operator.IS_NOT_EMPTY, ""),
        ("f!=NULL", Operator.IS_NOT_EMPTY, ""),
        ("fEMPTYSTRING", Operator.IS_EMPTY, ""),
        ("fISEMPTY", Operator.IS_EMPTY, ""),
        ("fISNOTEMPTY", Operator.IS_NOT_EMPTY, ""),
        ("fANYTHING", Operator.ANYTHING, ""),
        ("f>1", Operator.GREATER, "1"),
        ("f>=1", Operator.GREATER_OR_EQUAL, "1"),
        ("f<1", Operator.LESS, "1"),
        ("f<=1", Operator.LESS_OR_EQUAL, "1"),
        ("fIN1,2", Operator.IN, "1,2"),
        ("fNOT IN1,2", Operator.NOT_IN, "1,2"),
        ("fNOTIN1,2", Operator.NOT_IN, "1,2"),
        ("fINSTANCEOFtask", Operator.INSTANCE_OF, "task"),
        ("fLIKEx y", Operator.CONTAINS, "x y"),
        ("fCONTAINSx", Operator.CONTAINS, "x"),
        ("f*x", Operator.CONTAINS, "x"),
        ("fNOT LIKEx", Operator.NOT_CONTAINS, "x"),
        ("fNOTLIKEx", Operator.NOT_CONTAINS, "x"),
        ("fDOES NOT CONTAINx", Operator.NOT_CONTAINS, "x"),
        ("f!*x", Operator.NOT_CONTAINS, "x"),
        ("fSTARTSWITHx", Operator.STARTS_WITH, "x"),
        ("fENDSWITHx", Operator.ENDS_WITH, "x"),
        ("f%x", Operator.ENDS_WITH, "x"),
        ("fMATCH_PATx*", Operator.MATCHES, "x*"),
        ("fBETWEEN1@2", Operator.BETWEEN, "1@2"),
        ("fSAMEASg", Operator.SAME_AS, "g"),
        ("fNSAMEASg", Operator.NOT_SAME_AS, "g"),
        ("fVALCHANGES", Operator.CHANGES, ""),
        ("fCHANGESFROM1", Operator.CHANGES_FROM, "1"),
        ("fCHANGESTO2", Operator.CHANGES_TO, "2"),
        ("fLIKEa\nb", Operator.CONTAINS, "a\nb"),
    ],
)
def test_operator(text: str, operator: Operator, value: str) -> None:
    assert parse_term(text) == Term("f", operator, value)


@pytest.mark.parametrize(
    ("text", "operator"),
    [
        ("123TEXTQUERY321=a b", Operator.ALL_WORDS),
        ("IR_AND_QUERY=a b", Operator.ALL_WORDS),
        ("IR_OR_QUERY=a b", Operator.ANY_WORD),
    ],
)
def test_a_search_has_no_field(text: str, operator: Operator) -> None:
    assert parse_term(text) == Term("", operator, "a b")
    assert parse(f"GOTO{text}^x=1").condition == parse(f"{text}^x=1").condition


@pytest.mark.parametrize(
    "text", ["", "f", "=1", "F=1", "fOVER1", "f like x", "123TEXTINDEXGROUP321=x"]
)
def test_not_a_term(text: str) -> None:
    assert parse_term(text) is None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", "()"),
        ("^EQ", "()"),
        ("^^^", "()"),
        ("a=1", "a=1"),
        ("^a=1^", "a=1"),
        ("a=1^^^b=2", "(a=1^ AND b=2)"),
        ("a=1^ORb=2^ORc=3^d=4", "((a=1 OR b=2 OR c=3) AND d=4)"),
        ("a=1^NQb=2^c=3", "(a=1 OR (b=2 AND c=3))"),
        ("a=1^NQ", "a=1"),
        ("^NQa=1", "a=1"),
        ("^ORa=1", "a=1"),
        ("a=1^ORDERBYx^ORb=2", "(a=1 OR b=2)"),
        ("a=1^NQb=2^ORc=3", "(a=1 OR b=2 OR c=3)"),
        ("GOTOnumber>=INC001", "number>=INC001"),
        ("caller_id.department.name=IT^EQ", "caller_id.department.name=IT"),
    ],
)
def test_structure(text: str, shown: str) -> None:
    query = parse(text)
    assert str(query.condition) == shown if shown != "()" else query.condition == ALWAYS
    assert query.invalid == ()


def test_order_and_groups_apply_to_the_whole_query() -> None:
    query = parse("ORDERBYa^x=1^NQORDERBYDESCb.c^y=2^GROUPBYd^GROUPBYe")
    assert query.order == (Order("a"), Order("b.c", descending=True))
    assert query.group_by == ("d", "e")
    assert query.condition == Or((Term("x", Operator.EQUALS, "1"), Term("y", Operator.EQUALS, "2")))


def test_an_unreadable_term_does_not_pass_its_alternative_to_the_one_before() -> None:
    query = parse("x=1^what is this^ORa=1^ORDERBY!")
    assert str(query.condition) == "(x=1 AND a=1)"
    assert query.invalid == ("what is this", "ORDERBY!")


FIELDS = st.from_regex(r"[a-z_][a-z0-9_]{0,5}(\.[a-z]{1,3})?", fullmatch=True)
OPERATORS = st.sampled_from(list(Operator))
TERMS = st.builds(Term, FIELDS, OPERATORS, st.text(max_size=8)).filter(
    lambda term: parse_term(str(term)) == term
)


def _any(parts: list[Term]) -> Condition:
    return parts[0] if len(parts) == 1 else Or(tuple(parts))


def _all(parts: list[Condition]) -> Condition:
    return parts[0] if len(parts) == 1 else And(tuple(parts))


GROUPS = st.lists(st.lists(TERMS, min_size=1, max_size=3).map(_any), min_size=2, max_size=3)
CONDITIONS = st.one_of(
    st.just(ALWAYS),
    TERMS,
    GROUPS.map(_all),
    st.lists(st.one_of(TERMS, GROUPS.map(_all)), min_size=2, max_size=3).map(
        lambda parts: Or(tuple(parts))
    ),
)
QUERIES = st.builds(
    Query,
    CONDITIONS,
    st.lists(st.builds(Order, FIELDS, st.booleans()), max_size=2).map(tuple),
    st.lists(FIELDS, max_size=2).map(tuple),
)


@given(QUERIES)
def test_a_query_comes_back_from_its_text(query: Query) -> None:
    assert parse(format_query(query)) == query


SCRAPS = st.sampled_from(
    ["^", "^^", "OR", "NQ", "GOTO", "EQ", "ORDERBY", "ORDERBYDESC", "GROUPBY", "a", "b.c", "=", "1"]
    + ["^RLQUERYt.f,>=1^", "^ENDRLQUERY^", "RLQUERY", "ENDRLQUERY", "^SUBQUERYa,b,t^", "SUBQUERY"]
    + ["^ENDSUBQUERY^", "ENDSUBQUERY", "JOINt.a=u.b!", "JOIN", "!", "aSUBQUERYb,t,", "^^ENDRLQUERY"]
    + [operator.value for operator in Operator]
)


@given(st.lists(st.one_of(SCRAPS, st.text(max_size=3)), max_size=12).map("".join))
@example("^^^^^^^SUBQUERYa,b,t^")
def test_any_text_is_read_and_written_stably(text: str) -> None:
    query = parse(text)
    assert parse(format_query(query)) == query
