"""SQLite: one writer connection, readers from a pool, write-ahead log."""

from __future__ import annotations

import itertools
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path

from midspan.kernel.errors import Conflict, DuplicateKey, Unavailable
from midspan.storage.callbacks import Callbacks
from midspan.storage.copytext import decode_copy_line
from midspan.storage.database import Params, Row
from midspan.storage.dialect import SQLITE, Dialect
from midspan.storage.functions import register_functions
from midspan.storage.lives import Lives

MINIMUM_VERSION = (3, 40, 0)
MAX_READERS = 16
ALONE_WITHIN = timedelta(seconds=10)
"""How long saving or replacing the state waits for transactions that are open."""
MAPPED = 256 * 1024 * 1024
"""Bytes of the file that readers see without copying; they share them."""
STATEMENTS = 256
"""Compiled statements that the writer keeps; each reader keeps a quarter. One takes 40 to 60 kB,
there are many readers, and to compile one again takes a fifth of a millisecond."""
LONGEST_KEPT = 20_000
"""Characters of a statement that may stay compiled. Thousands of conditions take three megabytes,
and SQLite's module for Python gives one back only with its connection, so that is replaced."""
UNUSED = 1_000
"""Reads of others after which a reader is closed: what a crowd needed goes when it is gone."""


class SqliteTransaction:
    """A transaction on one SQLite connection."""

    dialect: Dialect = SQLITE

    def __init__(
        self,
        connection: sqlite3.Connection,
        callbacks: Callbacks | None = None,
        group: SqliteGroup | None = None,
    ) -> None:
        self._connection = connection
        self._group = group
        self._callbacks = callbacks or Callbacks()
        self._depth = 0
        self.was_long = False
        """Whether a statement was longer than may stay compiled."""
        self.after_commit: Callable[[Callable[[], None]], None] = self._callbacks.after_commit
        self.after_rollback: Callable[[Callable[[], None]], None] = self._callbacks.after_rollback

    def rows(self, sql: str, params: Params = ()) -> list[Row]:
        """Return all rows of a query."""
        return self._run(sql, params).fetchall()

    def row(self, sql: str, params: Params = ()) -> Row | None:
        """Return the first row of a query, or None."""
        found: Row | None = self._run(sql, params).fetchone()
        return found

    def _run(self, sql: str, params: Params) -> sqlite3.Cursor:
        if len(sql) > LONGEST_KEPT:
            self.was_long = True
        return self._connection.execute(sql, params)

    def stream(self, sql: str, params: Params = (), size: int = 1000) -> Iterator[list[Row]]:
        """Yield the rows of a query in lists of at most ``size``."""
        cursor = self._run(sql, params)
        while rows := cursor.fetchmany(size):
            yield rows

    def execute(self, sql: str, params: Params = ()) -> int:
        """Run a statement; return the number of rows touched."""
        try:
            return self._run(sql, params).rowcount
        except sqlite3.IntegrityError as error:
            _refuse_double(error)
            raise

    def execute_many(self, sql: str, params: Iterable[Params]) -> None:
        """Run a statement for each set of parameters."""
        try:
            self._connection.executemany(sql, params)
        except sqlite3.IntegrityError as error:
            _refuse_double(error)
            raise

    def copy_blocks(self, table: str, columns: Sequence[str], blocks: Iterable[bytes]) -> int:
        """Load COPY text rows in one tight loop; a row's last line may span two blocks."""
        names = ", ".join(SQLITE.quote(column) for column in columns)
        marks = ", ".join("?" * len(columns))
        sql = f"INSERT INTO {SQLITE.quote(table)} ({names}) VALUES ({marks})"  # noqa: S608 - quoted
        total = 0
        for block in blocks:
            lines = block.decode().split("\n")
            rows = [decode_copy_line(line) for line in lines if line]
            self.execute_many(sql, rows)
            total += len(rows)
        return total

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo the block's writes when it raises."""
        self._depth += 1
        name = f"s{self._depth}"
        self._connection.execute(f"SAVEPOINT {name}")
        try:
            yield
        except BaseException:
            self._connection.execute(f"ROLLBACK TO {name}")
            self._connection.execute(f"RELEASE {name}")
            raise
        else:
            self._connection.execute(f"RELEASE {name}")
        finally:
            self._depth -= 1

    def end_group(self) -> None:
        """Let no other write be committed together with this one."""
        if self._group is not None:
            self._group.is_over = True


class SqliteGroup:
    """Write transactions of one thread with one commit; it begins with the first of them."""

    def __init__(self) -> None:
        self.callbacks = Callbacks()
        self.commit = ExitStack()
        self.is_begun = False
        self.is_over = False


class SqliteDatabase:
    """A database in one file.

    ``ephemeral`` trades durability for speed: for tests and throw-away instances only.
    """

    dialect: Dialect = SQLITE
    single_writer = True

    def __init__(
        self,
        path: Path,
        *,
        ephemeral: bool = False,
        lock_timeout: timedelta = timedelta(seconds=30),
    ) -> None:
        if sqlite3.sqlite_version_info < MINIMUM_VERSION:
            raise Unavailable(
                f"SQLite {sqlite3.sqlite_version} is too old",
                hint="Midspan needs SQLite 3.40 or newer.",
            )
        self.path = path
        self.lives = Lives()
        self._ephemeral = ephemeral
        self._timeout = lock_timeout.total_seconds()
        self._write_lock = threading.Lock()
        self._owner: int | None = None
        self._grouped = threading.local()
        self._writer = self._connect(readonly=False)
        self._idle: deque[tuple[int, sqlite3.Connection]] = deque()
        """Readers and the read that each was last given back by; the next one takes the latest."""
        self._reads = itertools.count()
        self._prompt: sqlite3.Connection | None = None
        self._slots = threading.BoundedSemaphore(MAX_READERS)
        self._worn = False
        self._closed = False

    def _connect(self, *, readonly: bool, timeout: float | None = None) -> sqlite3.Connection:
        mode = "ro" if readonly else "rwc"
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode={mode}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=self._timeout if timeout is None else timeout,
            cached_statements=STATEMENTS // 4 if readonly else STATEMENTS,
        )
        register_functions(connection)
        if not readonly:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(f"PRAGMA synchronous={'OFF' if self._ephemeral else 'FULL'}")
        # KiB for pages. Readers are many; they look at the operating system's cache itself.
        connection.execute(f"PRAGMA cache_size=-{1_000 if readonly else 16_000}")
        if readonly:
            connection.execute(f"PRAGMA mmap_size={MAPPED}")
        connection.execute("PRAGMA temp_store=MEMORY")
        return connection

    @contextmanager
    def read(self, within: timedelta | None = None) -> Iterator[SqliteTransaction]:
        """Read from one snapshot; any number of readers run beside the writer."""
        patience = within.total_seconds() if within else self._timeout
        entered = self.lives.enter(patience)
        if entered is None:
            raise Unavailable("The database is busy", hint="Try again in a moment.")
        try:
            self.lives.check()
            with self._reader(patience) as transaction:
                yield transaction
        finally:
            self.lives.leave(entered)

    @contextmanager
    def _reader(self, patience: float) -> Iterator[SqliteTransaction]:
        if not self._slots.acquire(timeout=patience):
            raise Unavailable("Too many readers at once", hint="Try again in a moment.")
        try:
            try:
                _, connection = self._idle.pop()
            except IndexError:
                connection = self._connect(readonly=True)
            transaction = SqliteTransaction(connection)
            try:
                connection.execute("BEGIN")
                yield transaction
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                if transaction.was_long:
                    connection.close()
                else:
                    self._give_back(connection)
        finally:
            self._slots.release()

    def _give_back(self, connection: sqlite3.Connection) -> None:
        if self._closed:
            connection.close()
            return
        now = next(self._reads)
        self._idle.append((now, connection))
        with suppress(IndexError):  # others may just take them
            if now - self._idle[0][0] > UNUSED:
                self._close_unused(now)

    def _close_unused(self, now: int) -> None:
        """Close the reader that was not wanted for longest."""
        given_back, connection = self._idle.popleft()
        if now - given_back > UNUSED:
            connection.close()
        else:
            self._idle.appendleft((given_back, connection))

    def rows_at_once(self, sql: str, params: Params = ()) -> list[Row] | None:
        """Run one query on a connection of its own that waits for no lock; None when it met one.

        Only one thread, that of the event loop, may call this.
        """
        entered = self.lives.enter(0)
        if entered is None:
            return None
        try:
            self.lives.check()
            if self._prompt is None:
                self._prompt = self._connect(readonly=True, timeout=0.0)
            if len(sql) > LONGEST_KEPT:
                return None
            return self._prompt.execute(sql, params).fetchall()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                return None
            raise
        finally:
            self.lives.leave(entered)

    @contextmanager
    def write(self) -> Iterator[SqliteTransaction]:
        """Write alone; commits when the block ends, undoes everything when it raises."""
        me = threading.get_ident()
        if self._owner == me:
            raise Conflict(
                "A write transaction is already open in this thread",
                hint="Pass the open transaction on instead of opening another.",
            )
        callbacks, group = Callbacks(), self._group()
        with self._member(group, callbacks) if group else self._committed(callbacks):
            self._owner = me
            transaction = SqliteTransaction(self._writer, callbacks, group)
            try:
                yield transaction
            finally:
                self._owner = None
                self._worn = self._worn or transaction.was_long

    @contextmanager
    def together(self) -> Iterator[SqliteGroup]:
        """Let what this thread writes in the block have one commit, at its end."""
        group = SqliteGroup()
        self._grouped.now = group
        try:
            with group.commit:
                yield group
        finally:
            self._grouped.now = None

    def _group(self) -> SqliteGroup | None:
        return getattr(self._grouped, "now", None)

    @contextmanager
    def _member(self, group: SqliteGroup, callbacks: Callbacks) -> Iterator[None]:
        """Write within the transaction of a group; what raises takes back its own writes alone."""
        self.lives.check()
        if not group.is_begun:
            group.commit.enter_context(self._committed(group.callbacks))
            group.is_begun = True
        if not self._writer.in_transaction:
            raise Unavailable("The database gave up the transaction", hint="Send it again.")
        self._writer.execute("SAVEPOINT member")
        try:
            yield
            self._writer.execute("RELEASE member")
        except BaseException:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK TO member")
                self._writer.execute("RELEASE member")
            else:  # a full disk ends a transaction by itself; the commit of the others will fail
                group.is_over = True
            callbacks.finish(committed=False)
            raise
        group.callbacks.join(callbacks)

    @contextmanager
    def _committed(self, callbacks: Callbacks) -> Iterator[None]:
        committed = False
        self._lock_writes()
        try:
            self.lives.check()
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._writer.execute("COMMIT")
                committed = True
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise
        finally:
            # Nobody is alone while a transaction is open, and nobody comes to be before its
            # callbacks, which belong to its life, have run.
            entered = self.lives.enter(self._timeout)
            try:
                self._renew_writer()
            finally:
                self._write_lock.release()
            try:
                callbacks.finish(committed=committed)
            finally:
                if entered is not None:
                    self.lives.leave(entered)

    def _renew_writer(self) -> None:
        """Replace the writer's connection once a statement was too long to stay compiled in it."""
        if not self._worn or self._closed:
            return
        with suppress(sqlite3.Error):  # it goes on with the one that there is
            worn, self._writer = self._writer, self._connect(readonly=False)
            self._worn = False
            worn.close()

    def _lock_writes(self) -> None:
        if not self._write_lock.acquire(timeout=self._timeout):
            raise Unavailable("The database is busy", hint="Try again in a moment.")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Wait for the transactions that are open, and let nobody open another."""
        self._lock_writes()
        try:
            with self.lives.alone(ALONE_WITHIN.total_seconds()):
                yield
        finally:
            self._write_lock.release()

    def save(self, path: Path, also: Callable[[], None]) -> None:
        """Copy the state into a new file; ``also`` keeps what belongs to it, while all others wait.

        Raises:
            Unavailable: a transaction stays open too long.
        """
        with self._alone():
            self.backup(str(path))
            also()

    def replace(self, path: Path, also: Callable[[], None]) -> None:
        """Put a saved state in place of the present one, in one transaction; a new life begins.

        ``also`` brings in line what is kept in memory, while all others wait; it may read. What
        began before is refused from here on, see ``lives``.

        Raises:
            Unavailable: a transaction stays open too long; nothing was changed.
        """
        with self._alone():
            source = sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True)
            try:
                source.execute(f"PRAGMA mmap_size={MAPPED}")
                source.backup(self._writer)
            finally:
                source.close()
            # No statement of ours ended, so SQLite would let the log grow by the whole database
            # each time; nobody reads, so all of it goes into the file.
            self._writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            self.lives.now += 1
            with self.lives.work(anew=True):
                also()

    def backup(self, path: str) -> None:
        """Copy the committed state into a new file, page by page."""
        source = self._connect(readonly=True)
        target = sqlite3.connect(path)
        try:
            source.backup(target)
        finally:
            target.close()
            source.close()

    def close(self) -> None:
        """Close every connection once its transaction ended."""
        self._closed = True
        while self._idle:
            self._idle.pop()[1].close()
        if self._prompt is not None:
            self._prompt.close()
            self._prompt = None
        with self._write_lock:
            self._writer.close()


def _refuse_double(error: sqlite3.IntegrityError) -> None:
    if "UNIQUE" in str(error):
        raise DuplicateKey("A record with this value exists already", detail=str(error)) from error
