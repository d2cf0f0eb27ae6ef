"""Attributes of an attachment: texts by key, such as the text that stands for an image.

Whoever may read an attachment reads them, whoever may write it writes them; they go with it. A
row's id follows from attachment and key, so a key is there once, whoever writes at the same time.
"""

from __future__ import annotations

import re

from midspan.attachments.errors import FileRefused
from midspan.attachments.file import TABLE
from midspan.kernel.errors import DuplicateKey, NotFound
from midspan.kernel.ids import derived_id
from midspan.records import RecordTransaction, update
from midspan.storage import Statements

ATTRIBUTES = "sys_attachment_attribute"
MOST = 100
"""Attributes of one attachment."""
LONGEST_VALUE = 4_000
_KEY = re.compile(r"(?!\.{1,2}$)[^\x00-\x1f\x7f\ud800-\udfff/\\;%?#]{1,255}")
_NO_TEXT = re.compile(r"[\x00\ud800-\udfff]")


class NoAttribute(NotFound):
    """The attachment has no attribute with this key."""

    code = "MS241"

    def __init__(self, key: str) -> None:
        super().__init__(f"The attachment has no attribute {key[:80]}")


class Attributes:
    """The attributes of one attachment that the actor of a transaction may read."""

    def __init__(self, sql: Statements, transaction: RecordTransaction, attachment: str) -> None:
        """Look the attachment up.

        Raises:
            RecordNotFound: there is none, or the actor may not read it.
        """
        transaction.require(TABLE, attachment)
        self._sql = sql
        self._transaction = transaction
        self._attachment = attachment

    def all(self) -> list[tuple[str, str]]:
        """Return keys and values by key."""
        rows = self._transaction.database.rows(self._sql["attributes"], (self._attachment,))
        return [(str(key), str(value or "")) for key, value in rows]

    def get(self, key: str) -> str:
        """Return one value.

        Raises:
            NoAttribute: there is none with this key.
        """
        sys_id = self._id(key)
        row = self._transaction.load(ATTRIBUTES, (sys_id,)).get(sys_id)
        if row is None:
            raise NoAttribute(key)
        return row.get("value")

    def add(self, key: str, value: str) -> None:
        """Add an attribute.

        Raises:
            FileRefused: a key or value that none has, or there are too many.
            DuplicateKey: there is one with this key.
            NotAuthorized: the actor may not write the attachment.
        """
        self._check_writable()
        _check(key, value)
        counted = self._transaction.database.row(self._sql["count_attributes"], (self._attachment,))
        if counted is not None and counted[0] >= MOST:
            raise FileRefused(f"An attachment has at most {MOST} attributes")
        row = {
            "sys_id": self._id(key),
            "sys_attachment": self._attachment,
            "key": key,
            "value": value,
        }
        if self._transaction.load(ATTRIBUTES, (row["sys_id"],)):
            raise DuplicateKey(f"The attachment has an attribute {key[:80]}")
        self._transaction.engine_insert(ATTRIBUTES, [row])

    def change(self, key: str, value: str) -> None:
        """Give an attribute another value.

        Raises:
            NoAttribute: there is none with this key.
            FileRefused: a value that none has.
            NotAuthorized: the actor may not write the attachment.
        """
        self._check_writable()
        _check(key, value)
        if not self._transaction.engine_update(ATTRIBUTES, self._id(key), {"value": value}):
            raise NoAttribute(key)

    def drop(self, key: str | None = None) -> None:
        """Take one attribute away, or all of them.

        Raises:
            NoAttribute: there is none with this key.
            NotAuthorized: the actor may not write the attachment.
        """
        self._check_writable()
        if key is None:
            database = self._transaction.database
            database.execute(self._sql["drop_attributes"], (self._attachment,))
        elif not self._transaction.engine_delete(ATTRIBUTES, self._id(key)):
            raise NoAttribute(key)

    def _check_writable(self) -> None:
        """Ask for what a new name would need; the attachment is locked, and nothing is changed."""
        self._transaction.apply(update(TABLE, self._attachment, {}))

    def _id(self, key: str) -> str:
        return derived_id(ATTRIBUTES, self._attachment, key)


def _check(key: str, value: str) -> None:
    if not _KEY.fullmatch(key):
        raise FileRefused(
            "The attribute has no usable key",
            hint="A key has 1 to 255 characters that a path can hold.",
        )
    if len(value) > LONGEST_VALUE or _NO_TEXT.search(value):
        raise FileRefused(
            f"The value of an attribute is a text of up to {LONGEST_VALUE} characters"
        )
