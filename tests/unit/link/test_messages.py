"""Messages and payloads: strict both ways, hardened XML."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midspan_link import protocol
from midspan_link.errors import InvalidMessage
from midspan_link.parameters import (
    Results,
    clean,
    read_parameters,
    read_results,
    write_parameters,
    write_results,
)

XML_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"])) | st.text("\t\n\r<>&'\"]-!")
VALUES = st.dictionaries(XML_TEXT, XML_TEXT, max_size=8)


@given(VALUES)
def test_parameters_survive(values: dict[str, str]) -> None:
    cleaned = {clean(name): clean(value) for name, value in values.items()}
    assert read_parameters(write_parameters(cleaned)) == cleaned


@given(VALUES, VALUES, st.integers(0, 10**6), XML_TEXT)
def test_results_survive(
    outputs: dict[str, str], parameters: dict[str, str], millis: int, error: str
) -> None:
    results = Results(
        {clean(name): clean(value) for name, value in outputs.items()},
        {clean(name): clean(value) for name, value in parameters.items()},
        millis,
        0,
        clean(error),
    )
    assert read_results(write_results(results)) == results


def test_the_documented_form_is_read() -> None:
    text = '<parameters>\n  <parameter name="skip_sensor" value="true"/>\n</parameters>'
    assert read_parameters(text) == {"skip_sensor": "true"}
    assert read_parameters("  ") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<parameters>", "not well-formed"),
        ("<results/>", "starts with <results>"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><parameters/>', "document type"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><parameters>&b;</parameters>', "document type"),
        ("<parameters>" + "<a>" * 9 + "</a>" * 9 + "</parameters>", "deeper than 8"),
        ("<parameters><parameter value='x'/></parameters>", "no name"),
        ("<parameters>" + "x" * 600_000 + "</parameters>", "longer than"),
        ("<parameters>\ud800</parameters>", "surrogate"),
        (
            "<parameters>"
            + "".join(f"<parameter name='{n}'/>" for n in range(1001))
            + "</parameters>",
            "more than 1000",
        ),
    ],
)
def test_hostile_payloads_are_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidMessage, match=message):
        read_parameters(text)


def test_characters_that_xml_cannot_carry_are_named() -> None:
    with pytest.raises(InvalidMessage, match=r"U\+0001"):
        write_parameters({"a": "\x01"})
    assert clean("a\x01b") == "a\ufffdb"


def test_messages_are_strict_where_the_instance_reads() -> None:
    good = protocol.encode(protocol.PollRequest(1, ["ping"]))
    assert protocol.decode(good, protocol.PollRequest).wait_seconds == 25
    for body, text in [
        (b'{"free":-1,"topics":[]}', "free"),
        (b'{"free":1,"topics":[],"wait_seconds":26}', "wait_seconds"),
        (b'{"free":1,"topics":[],"more":1}', "more"),
        (b'{"free":1}', "topics"),
        (b"{", "PollRequest"),
        (b"\xff", "PollRequest"),
    ]:
        with pytest.raises(InvalidMessage, match=text):
            protocol.decode(body, protocol.PollRequest)


def test_answers_may_grow_and_secrets_do_not_show() -> None:
    body = b'{"lease_seconds":30,"since_version_2":true}'
    assert protocol.decode(body, protocol.RenewalReply).lease_seconds == 30
    assert "hunter2" not in repr(protocol.Secret(user="u", password="hunter2"))
