"""Forms read piece by piece: the same events however the bytes come, and errors of our own."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midspan.api.errors import UnsupportedMediaType
from midspan.api.multipart import (
    LONGEST_FIELD,
    MOST_PARTS,
    SLICE,
    FieldRead,
    FileBegins,
    FileBytes,
    FormEvent,
    FormReader,
)
from midspan.kernel.errors import MalformedBody

TYPE = "multipart/form-data; boundary=XX"
FIELD = b'--XX\r\nContent-Disposition: form-data; name="table_name"\r\n\r\nincident\r\n'
FILE = (
    b'--XX\r\nContent-Disposition: form-data; name="f"; filename="a.bin"\r\n'
    b"Content-Type: application/x-test\r\n\r\n"
)
END = b"\r\n--XX--\r\n"


def read(parts: Iterable[bytes]) -> tuple[list[FormEvent], bytes, bool]:
    """Return fields and beginnings, the bytes of all files, and whether the form was complete."""
    reader, events, content = FormReader(TYPE), list[FormEvent](), b""
    for part in parts:
        for event in reader.feed(part):
            if isinstance(event, FileBytes):
                content += event.data
            else:
                events.append(event)
    return events, content, reader.complete


@given(content=st.binary(max_size=300), cuts=st.lists(st.integers(0, 500), max_size=8))
def test_how_the_bytes_come_makes_no_difference(content: bytes, cuts: list[int]) -> None:
    whole = FIELD + FILE + content.replace(b"\r\n--XX", b"") + END
    places = sorted({0, *(cut for cut in cuts if cut < len(whole)), len(whole)})
    parts = [whole[start:end] for start, end in pairwise(places)]
    expected = [FieldRead("table_name", "incident"), FileBegins("a.bin", "application/x-test")]
    assert read(parts) == (expected, content.replace(b"\r\n--XX", b""), True)


@given(st.lists(st.sampled_from([FIELD, FILE, END, b"--XX", b"\r\n", b"\0", b"--"]), max_size=12))
def test_whatever_comes_is_read_or_refused(parts: list[bytes]) -> None:
    """Only ``MalformedBody`` may come out of it, and never more than went in."""
    with suppress(MalformedBody):
        events, content, _ = read(parts)
        names = [event.text for event in events if isinstance(event, FieldRead)]
        assert len(content) + sum(map(len, names)) <= sum(map(len, parts))


def test_a_long_piece_is_taken_in_slices() -> None:
    reader = FormReader(TYPE)
    sizes = [
        len(event.data)
        for event in reader.feed(FILE + b"x" * (5 * SLICE) + END)
        if isinstance(event, FileBytes)
    ]
    assert sum(sizes) == 5 * SLICE
    assert max(sizes) <= SLICE


@pytest.mark.parametrize(
    ("described", "name"),
    [
        (b'filename="plan.pdf"', "plan.pdf"),
        ('filename="Übersicht.pdf"'.encode(), "Übersicht.pdf"),
        ('filename="Übersicht.pdf"'.encode("latin-1"), "Übersicht.pdf"),
        (b"filename*=UTF-8''%C3%9Cbersicht.pdf", "Übersicht.pdf"),
        (b'filename="C:\\temp\\plan.pdf"', "plan.pdf"),
    ],
)
def test_names_as_libraries_and_browsers_send_them(described: bytes, name: str) -> None:
    head = b'--XX\r\nContent-Disposition: form-data; name="f"; ' + described + b"\r\n\r\n"
    events, content, complete = read([head + b"x" + END])
    assert (events, content, complete) == ([FileBegins(name, "")], b"x", True)


@pytest.mark.parametrize("kind", ["", "application/json", "multipart/form-data", "multipart/mixed"])
def test_what_is_no_form_is_refused(kind: str) -> None:
    with pytest.raises(UnsupportedMediaType):
        FormReader(kind)


@pytest.mark.parametrize(
    "body",
    [
        FIELD.replace(b"incident", b"x" * (LONGEST_FIELD + 1)) + END,
        FIELD * (MOST_PARTS + 1) + END,
        b"--YY\r\n\r\n",
        b"--XX\r\nContent-Disposition: form-data; x=" + b"y" * 10_000,
        b"--XX\r\n" + b"A: b\r\n" * 1_000,
    ],
)
def test_forms_beyond_the_limits_are_refused(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        read([body])


def test_an_endless_boundary_is_refused() -> None:
    with pytest.raises(MalformedBody):
        FormReader(f"multipart/form-data; boundary={'x' * 10_000}")
