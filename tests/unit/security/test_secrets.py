"""Secrets at rest and passwords."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from midspan.kernel.errors import InvalidValue, Unavailable
from midspan.security import KeyVault, Passwords, UnreadableSecret, master_key, unwrap, wrap

OLD, NEW = b"o" * 32, b"n" * 32
PLACE = "basic_auth_credentials:1:password"


def test_what_is_sealed_opens_in_its_place_only() -> None:
    vault = KeyVault({"k1": OLD}, "k1")
    sealed = vault.seal("s3cret", PLACE)
    assert "s3cret" not in sealed
    assert vault.open(sealed, PLACE) == "s3cret"
    assert vault.seal("s3cret", PLACE) != sealed
    for place, text in ((PLACE + "x", sealed), (PLACE, sealed[:-4] + "AAA=")):
        with pytest.raises(UnreadableSecret):
            vault.open(text, place)


def test_earlier_keys_still_open_and_unknown_ones_are_named() -> None:
    sealed = KeyVault({"k1": OLD}, "k1").seal("x", PLACE)
    assert KeyVault({"k1": OLD, "k2": NEW}, "k2").open(sealed, PLACE) == "x"
    with pytest.raises(UnreadableSecret, match="k1"):
        KeyVault({"k2": NEW}, "k2").open(sealed, PLACE)


def test_data_keys_open_with_their_master_key_only() -> None:
    wrapped = wrap(OLD, "k1", NEW)
    assert unwrap(OLD, "k1", wrapped) == NEW
    with pytest.raises(UnreadableSecret):
        unwrap(NEW, "k1", wrapped)


def test_the_master_key_file_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MIDSPAN_MASTER_KEY", raising=False)
    file = tmp_path / "master.key"
    key = master_key(file)
    assert len(key) == 32
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert master_key(file) == key
    file.chmod(0o644)
    with pytest.raises(Unavailable, match="Others may read"):
        master_key(file)


def test_a_master_key_of_the_wrong_size_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIDSPAN_MASTER_KEY", "c2hvcnQ=")
    with pytest.raises(Unavailable, match="32 bytes"):
        master_key(tmp_path / "unused")


def test_passwords_verify_and_short_ones_are_refused() -> None:
    passwords = Passwords()
    stored = passwords.hash("correct horse")
    assert passwords.verify(stored, "correct horse")
    assert not passwords.verify(stored, "wrong horse")
    assert not passwords.verify(None, "anything")
    with pytest.raises(InvalidValue, match="8 characters"):
        passwords.hash("short")
