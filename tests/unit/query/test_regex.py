"""Regular expressions: as Java reads them as far as they are understood, in linear time."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midspan.query.expression import RefusedExpression
from midspan.query.regex import LONGEST_TEXT, check_regex, matches_regex, postgresql

PARTS = ["a", "b", ".", "\\d", "\\w", "[ab]", "[^a]", "\\.", "1", "[b-y]", "[\\d.]"]
EXPRESSIONS = st.recursive(
    st.sampled_from(PARTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map("".join),
        st.builds("(?:{}){}".format, inner, st.sampled_from(("*", "+", "?", "{0,2}", "{1,}"))),
        st.lists(inner, min_size=1, max_size=3).map("|".join).map("({})".format),
    ),
    max_leaves=6,
)  # fmt: skip


@settings(deadline=None)  # the other way of matching may take long
@given(expression=EXPRESSIONS, text=st.text(alphabet="ab1.z", max_size=6))
def test_what_is_plain_means_what_it_means_elsewhere(expression: str, text: str) -> None:
    found = matches_regex(expression, text)
    assert found is (re.fullmatch(expression, text) is not None)
    # The expression for PostgreSQL is one that others read in the same way.
    assert found is (re.search(postgresql(expression), text) is not None)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("a(?=b)", "(? at character 2 is not understood; groups are ( ) and (?: )"),
        ("(?<n>a)", "(? at character 1 is not understood; groups are ( ) and (?: )"),
        ("(a)\\1", "\\1 at character 5 is not understood; known are"),
        ("\\bword", "\\b at character 2 is not understood; known are"),
        ("a++", "+ at character 3 is not understood; nothing is given back"),
        ("a^b", "^ at character 2 is not understood; a text is always matched as a whole"),
        ("(a", "( at character 1 is not understood; the group does not end"),
        ("a)", ") at character 2 is not understood; no group ends"),
        ("[a", "[ at character 1 is not understood; the class does not end"),
        ("[z-a]", "a range goes up"),
        ("[a&&b]", "& at character 3 is not understood; write \\ before it in a class"),
        ("*a", "* at character 1 is not understood; there is nothing to repeat"),
        ("a{2,1}", "the second number is less than the first"),
        ("a{x}", "expected {n}, {n,} or {n,m}"),
        ("a\\", "nothing comes behind it"),
        ("a" * 1001, "An expression has at most 1000 characters"),
        ("(((a{9}){9}){9}){9}", "An expression has at most 200 letters"),
        ("(" * 30 + ")" * 30, "at most 20 groups may stand inside each other"),
    ],
)
def test_what_is_not_understood_is_refused_and_said(expression: str, reason: str) -> None:
    with pytest.raises(RefusedExpression, match=re.escape(reason)):
        check_regex(expression)


def test_letters_are_folded() -> None:
    assert matches_regex("STRASSE|Äpfel", "äpfel")
    assert matches_regex("[A-C]İ", "bi̇")
    assert matches_regex("(?i)X", "x")


def test_no_expression_takes_longer_than_the_text() -> None:
    hostile = ["(a|a)*c", "((a*)*)*c", "(a?){90}a{90}", ".*a.{90}c", "(.*)(.*)(.*)(.*)(.*)c"]
    text = "ab" * (LONGEST_TEXT // 2)
    start = time.process_time()
    assert not any(matches_regex(expression, text) for expression in hostile)
    assert time.process_time() - start < 5  # another way of matching takes years for it


def test_a_longer_text_matches_nothing() -> None:
    assert matches_regex("a*", "a" * LONGEST_TEXT)
    assert not matches_regex("a*", "a" * (LONGEST_TEXT + 1))
