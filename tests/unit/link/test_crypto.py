"""Signing and sealing: what is tampered with, replayed or meant for another does not pass."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from midspan_link import sealing, signing
from midspan_link.errors import CannotOpen, SignatureRefused
from midspan_link.signing import Envelope, SignedContent

NOW = datetime(2026, 1, 31, 8, 0, tzinfo=UTC)
KEY = Ed25519PrivateKey.generate()
PUBLIC = signing.public_text(KEY)
CONTENT = SignedContent("POST", "/api/midspan/mid/v1/jobs/1/blocks/0?fence=3", b"body")
ENVELOPE = Envelope("a" * 32, 4, int(NOW.timestamp()), "nonce")


def _signed(content: SignedContent = CONTENT) -> Envelope:
    return signing.read_envelope(signing.sign(KEY, content, ENVELOPE))


def test_a_signed_request_verifies() -> None:
    signing.verify(PUBLIC, CONTENT, _signed(), NOW)
    assert replace(_signed(), signature="") == ENVELOPE


@pytest.mark.parametrize(
    "change",
    [
        {"method": "GET"},
        {"target": "/api/midspan/mid/v1/jobs/1/blocks/0?fence=4"},
        {"body": b"bodY"},
    ],
)
def test_another_content_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(SignatureRefused) as caught:
        signing.verify(PUBLIC, replace(CONTENT, **change), _signed(), NOW)
    assert caught.value.reason == "signature"


@pytest.mark.parametrize(
    "change",
    [
        {"mid_sys_id": "b" * 32},
        {"generation": 5},
        {"timestamp": ENVELOPE.timestamp + 1},
        {"nonce": "other"},
        {"signature": "AAAA"},
        {"signature": "no base64"},
    ],
)
def test_another_envelope_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(SignatureRefused) as caught:
        signing.verify(PUBLIC, CONTENT, replace(_signed(), **change), NOW)
    assert caught.value.reason == "signature"


def test_another_key_is_refused() -> None:
    other = signing.public_text(Ed25519PrivateKey.generate())
    with pytest.raises(SignatureRefused, match="does not match"):
        signing.verify(other, CONTENT, _signed(), NOW)
    with pytest.raises(SignatureRefused, match="Not an Ed25519"):
        signing.verify("short", CONTENT, _signed(), NOW)


@pytest.mark.parametrize("seconds", [-121, 121])
def test_an_old_or_future_request_is_refused(seconds: int) -> None:
    with pytest.raises(SignatureRefused) as caught:
        signing.verify(PUBLIC, CONTENT, _signed(), NOW + timedelta(seconds=seconds))
    assert caught.value.reason == "clock_skew"


@pytest.mark.parametrize(
    ("header", "value"),
    [
        (signing.GENERATION_HEADER, "-1"),
        (signing.GENERATION_HEADER, "٣"),
        (signing.TIMESTAMP_HEADER, "9" * 20),
        (signing.NONCE_HEADER, ""),
        (signing.NONCE_HEADER, "x" * 65),
        (signing.MID_HEADER, "a\nb"),
    ],
)
def test_malformed_headers_are_refused(header: str, value: str) -> None:
    headers = {**signing.sign(KEY, CONTENT, ENVELOPE), header: value}
    with pytest.raises(SignatureRefused) as caught:
        signing.read_envelope(headers)
    assert caught.value.reason == "malformed"
    del headers[header]
    with pytest.raises(SignatureRefused, match="lacks the header"):
        signing.read_envelope(headers)


BOX = X25519PrivateKey.generate()
BOX_PUBLIC = sealing.public_text(BOX)


@given(st.binary(max_size=300), st.binary(max_size=50))
def test_sealed_secrets_open_with_key_and_context(secret: bytes, context: bytes) -> None:
    sealed = sealing.seal(secret, BOX_PUBLIC, context)
    assert sealing.unseal(sealed, BOX, context) == secret
    with pytest.raises(CannotOpen):
        sealing.unseal(sealed, BOX, context + b"x")


@given(st.integers(0, 76), st.integers(1, 255))
def test_any_changed_byte_keeps_it_closed(place: int, change: int) -> None:
    raw = bytearray(base64.b64decode(sealing.seal(b"0123456789abcdef", BOX_PUBLIC, b"c")))
    raw[place] ^= change
    if place == 32 and change == 0x80:
        return  # X25519 ignores this bit of the key; the salt still covers it
    with pytest.raises(CannotOpen):
        sealing.unseal(base64.b64encode(raw).decode(), BOX, b"c")


def test_another_agent_cannot_open_it() -> None:
    sealed = sealing.seal(b"secret", BOX_PUBLIC, b"c")
    with pytest.raises(CannotOpen, match="another agent or job"):
        sealing.unseal(sealed, X25519PrivateKey.generate(), b"c")


def test_what_is_not_sealed_data_is_refused() -> None:
    for text in ("", "!", base64.b64encode(b"\x02" + b"x" * 80).decode(), "A" * 200_000):
        with pytest.raises(CannotOpen):
            sealing.unseal(text, BOX, b"")
    with pytest.raises(CannotOpen, match="Not an X25519"):
        sealing.seal(b"x", "AAAA", b"")
    with pytest.raises(CannotOpen, match="low order"):
        sealing.seal(b"x", base64.b64encode(bytes(32)).decode(), b"")
    with pytest.raises(CannotOpen, match="at most"):
        sealing.seal(b"x" * 60_000, BOX_PUBLIC, b"")


def test_the_context_names_the_claim() -> None:
    contexts = {
        sealing.job_context(*parts)
        for parts in [("m", "j", 1, "a"), ("n", "j", 1, "a"), ("m", "k", 1, "a")]
    } | {sealing.job_context("m", "j", 2, "a"), sealing.job_context("m", "j", 1, "b")}
    assert len(contexts) == 5
