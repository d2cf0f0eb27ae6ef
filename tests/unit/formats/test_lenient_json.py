"""Lenient JSON: what is accepted, what is refused, and where the message points."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midspan.formats import lenient_json
from midspan.kernel.errors import LimitExceeded, MalformedBody

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(alphabet="abc_$é' \""), inner),
    max_leaves=20,
)


@given(VALUES)
def test_strict_json_comes_back_exactly(value: object) -> None:
    assert lenient_json.parse(json.dumps(value)) == value
    assert lenient_json.parse(lenient_json.dumps(value)) == value


@given(VALUES)
def test_a_trailing_comma_sends_the_same_value_through_the_tolerant_parser(value: object) -> None:
    text = json.dumps([value])[:-1] + ", ]"
    assert lenient_json.parse(text) == [value]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{'urgency':'1'}", {"urgency": "1"}),
        ("{sysparm_quantity: 1}", {"sysparm_quantity": 1}),
        ("{'a': 'it\\'s', $b-c.d: [1, 2.5e1, -0, true, null,],}",
         {"a": "it's", "$b-c.d": [1, 25.0, 0, True, None]}),
        ("{'a':1,'a':2}", {"a": 2}),
        ('{"a":1,"a":2}', {"a": 2}),
        ("['\\ud83d\\ude00', 'say \"x\"']", ["😀", 'say "x"']),
        ("[12345678901234567890123]", [12345678901234567890123]),
        ("['', {}, [],]", ["", {}, []]),
        (" 'x' ", "x"),
        (b"\xef\xbb\xbf{\"a\": 1}", {"a": 1}),
        (b"\xef\xbb\xbf{'a': 1}", {"a": 1}),
        ("{true: 1, null: 2,}", {"true": 1, "null": 2}),
    ],
)  # fmt: skip
def test_accepted(text: bytes | str, value: object) -> None:
    assert lenient_json.parse(text) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1, column 1: expected a value, found the end of the body"),
        ("{'a' 1}", "line 1, column 6: expected ':' after the key, found '1'"),
        ("{\n  'a': 1\n  'b': 2}", "line 3, column 3: expected ',' or '}', found \"'\""),
        ("[1, 2", "line 1, column 6: expected ',' or ']', found the end of the body"),
        ("[1,,2]", "line 1, column 4: expected a value, found ','"),
        ("[,]", "line 1, column 2: expected a value, found ','"),
        ("{,}", "line 1, column 2: expected a key or '}', found ','"),
        ("[1}", "line 1, column 3: expected ',' or ']', found '}'"),
        ("{'a': NaN}", "line 1, column 7: NaN is not a JSON value"),
        ("[-Infinity]", "line 1, column 2: -Infinity is not a JSON value"),
        ("[1e999]", "line 1, column 2: 1e999 is too large for a number"),
        ("[01]", "line 1, column 2: expected a value, found '0'"),
        ("[undefined]", "line 1, column 2: expected a value, found 'u'"),
        ("{} x", "line 1, column 4: expected the end of the body, found 'x'"),
        ("['abc", "line 1, column 2: the string that starts here has no closing '"),
        ("['a\nb']", "line 1, column 4: a control character must be written as \\u000a"),
        ("['\\x41']", "line 1, column 3: unknown escape \\x"),
        ("['\\u12']", "expected four hexadecimal digits after \\u"),
        ("['\\ud800']", "half of a surrogate pair"),
        (b"{'a': '\xff'}", "line 1, column 8: the body is not UTF-8"),
        (b'\n{"a": "\xff"}', "line 2, column 8: the body is not UTF-8"),
        ("[" + "9" * 5000 + ",]", "a number of 5000 digits is too long"),
    ],
)
def test_refused_with_place_and_reason(text: bytes | str, message: str) -> None:
    with pytest.raises(MalformedBody) as caught:
        lenient_json.parse(text)
    assert message in caught.value.message


@pytest.mark.parametrize("opening", ["[", '{"a":', "{'a':", "['x',"])
@pytest.mark.parametrize("closed", [True, False])
def test_depth_of_a_hundred_thousand_is_an_error_not_a_crash(opening: str, closed: bool) -> None:
    ending = "]" if opening.startswith("[") else "}"
    text = opening * 100_000 + "1" + (ending * 100_000 if closed else "")
    with pytest.raises(MalformedBody):
        lenient_json.parse(text)


@pytest.mark.parametrize("opening", ["[", "['x',"])
def test_depth_counts_containers_alike_on_both_paths(opening: str) -> None:
    assert lenient_json.parse(opening * 3 + "]" * 3, max_depth=3)
    with pytest.raises(MalformedBody, match="nested deeper than 3 levels"):
        lenient_json.parse(opening * 4 + "]" * 4, max_depth=3)


def test_many_flat_containers_are_not_deep() -> None:
    assert lenient_json.parse("[" + "[]," * 500 + "[]]", max_depth=2) == [[]] * 501


def test_size_is_limited_before_parsing() -> None:
    with pytest.raises(LimitExceeded, match="at most 10 are accepted"):
        lenient_json.parse(b"[" * 11, max_bytes=10)


def test_a_large_body_must_be_strict_so_that_it_costs_little() -> None:
    text = "['" + "x" * lenient_json.MAX_TOLERANT_BYTES + "']"
    started = time.perf_counter()
    with pytest.raises(MalformedBody) as caught:
        lenient_json.parse(text)
    assert "strict JSON" in (caught.value.hint or "")
    assert time.perf_counter() - started < 1


def test_a_huge_integer_in_strict_json_is_refused_not_rounded() -> None:
    with pytest.raises(MalformedBody):
        lenient_json.parse("[" + "9" * 5000 + "]")


@given(st.text(alphabet="{}[]:,'\"\\aNu0-1.e \n$", max_size=40))
def test_any_text_gives_a_value_or_a_malformed_body(text: str) -> None:
    try:
        value = lenient_json.parse(text)
    except MalformedBody:
        return
    assert lenient_json.parse(lenient_json.dumps(value)) == value


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b"{}," * 200_000 + b"{}]",
        b'{"a":[' + b'{"a":1},' * 120_000 + b"{}]}",
        b"[" + b"[[]]," * 200_000 + b"[]]",
        b"[" + b"1," * 400_000 + b"1]",
        b"{" + b",".join(b'"u_%d":1' % n for n in range(400_000)) + b"}",
        b'["\\"",' + b"{}," * 200_000 + b'{},"\\\\"]',
        b"[" + b"{}," * 200_000 + b"{},]",
        b'["' + b"{}," * 200_000,
    ],
)
def test_more_values_than_memory_is_given_for_are_not_read(
    body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midspan.formats.lenient_json.orjson.loads", None)
    with pytest.raises(MalformedBody, match="too many values"):
        lenient_json.parse(body)


@pytest.mark.parametrize(
    "text",
    ["{}," * 200_000, 'a,"b",\\' * 100_000, "," * 2_000_000, "[" * 2_000_000],
)
def test_what_is_text_only_does_not_weigh(text: str) -> None:
    assert lenient_json.parse(lenient_json.dumps({"payload": text})) == {"payload": text}


def test_a_usual_list_of_records_is_read() -> None:
    record = {f"u_column_{n}": f"value {n}" for n in range(20)}
    assert lenient_json.parse(lenient_json.dumps([record] * 10_000)) == [record] * 10_000
