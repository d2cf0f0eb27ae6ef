"""PostgreSQL folds, compares and reads as the dialect promises."""

from __future__ import annotations

import itertools
import sys
import unicodedata
from collections.abc import Iterator

import psycopg
import pytest

from midspan.dictionary import Storage
from midspan.query.comparison import fold
from midspan.storage.dialect import POSTGRESQL, POSTGRESQL_SETUP

Connection = psycopg.Connection[tuple[object, ...]]


@pytest.fixture
def connection(postgres_database: str) -> Iterator[Connection]:
    with psycopg.connect(postgres_database, autocommit=True) as connection:
        connection.execute(POSTGRESQL_SETUP)
        yield connection


def lowered(connection: Connection, texts: list[str]) -> list[str]:
    statement = f"SELECT {POSTGRESQL.fold('item')} FROM unnest(%s::text[]) AS item"  # noqa: S608
    return [str(row[0]) for row in connection.execute(statement, (texts,))]


def test_folding_agrees_with_python_for_every_letter_it_knows(connection: Connection) -> None:
    letters = [
        chr(code)
        for code in range(1, sys.maxunicode + 1)
        if not 0xD800 <= code < 0xE000 and unicodedata.category(chr(code)) != "Cn"
    ]
    pairs = zip(letters, lowered(connection, letters), strict=True)
    newer = [letter for letter, found in pairs if fold(letter) != found]
    # A newer Unicode may give an old small letter a capital, never change a pair (stability).
    assert all(fold(letter) == letter for letter in newer), newer
    assert not any(ord(letter) < 0x1C80 for letter in newer)


def test_final_sigma_folds_by_its_neighbours(connection: Connection) -> None:
    words = ["".join(word) for word in itertools.product("ΣσΑ.'_%\\ 1\u0301\u00ad", repeat=3)]
    assert lowered(connection, words) == [fold(word) for word in words]


def test_setup_may_be_repeated(connection: Connection) -> None:
    connection.execute(POSTGRESQL_SETUP)
    assert lowered(connection, ["İSTANBUL"]) == ["i\u0307stanbul"]


@pytest.mark.parametrize(
    ("storage", "text"),
    [
        (Storage.TEXT, "100% _\\"),
        (Storage.INTEGER, "-9223372036854775807"),
        (Storage.DECIMAL, "0.1"),
        (Storage.DECIMAL, "-123456789012345678901234567890.000000000000000000001"),
        (Storage.DECIMAL, "100"),
        (Storage.BOOLEAN, "true"),
        (Storage.BOOLEAN, "false"),
        (Storage.DATETIME, "0001-01-01 00:00:00"),
        (Storage.DATETIME, "9999-12-31 23:59:59"),
        (Storage.DATE, "2026-02-28"),
    ],
)
def test_values_come_back_as_they_went_in(
    connection: Connection, storage: Storage, text: str
) -> None:
    connection.execute(f"CREATE TABLE kept (x {POSTGRESQL.column_type(storage)})")
    connection.execute("INSERT INTO kept VALUES (%s)", (POSTGRESQL.bind(storage, text),))
    connection.execute("SET datestyle = 'German'")
    statement = f"SELECT {POSTGRESQL.read('x', storage)} FROM kept"  # noqa: S608
    row = connection.execute(statement).fetchone()
    assert row == (text,)
