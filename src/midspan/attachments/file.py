"""What a file is called and what it holds: the checks, and how its pieces are kept.

A piece is 700,000 bytes of the file, packed as one gzip member and written in base64. All pieces
together are a gzip stream that any program unpacks, and each can be read alone. Source of the
layout: rest-api reference, section 4 (storage tables, ``chunk_size_bytes``).
"""

from __future__ import annotations

import base64
import gzip
import re
from collections.abc import Callable

from msgspec import Struct

from midspan.attachments.errors import FileRefused

TABLE = "sys_attachment"
UPLOADS = "sys_attachment_upload"
"""Files whose pieces do not belong to an attachment: not yet, or no more."""
PIECES = "sys_attachment_doc"
PIECE = 700_000
LONGEST_NAME = 100
UNKNOWN_TYPE = "application/octet-stream"
MAX_SIZE = "com.glide.attachment.max_size"
"""System property: megabytes that a file may have."""
EXTENSIONS = "glide.attachment.extensions"
"""System property: extensions that a file may have, comma-joined; empty allows all."""
ROLES = "glide.attachment.role"
"""System property: roles of which one is needed to attach; empty or ``public`` asks for none."""
DEFAULT_MEGABYTES = 1024
_TYPE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+(\s*;[\x20-\x7e]*)?")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_SAMPLE = 65_536

Property = Callable[[str], str]
"""Returns a system property, ``''`` when it is not set."""


class NewFile(Struct, frozen=True, kw_only=True):
    """A file to attach to a record."""

    table: str
    """As the caller names it: an ancestor of the record's class does, too."""
    record: str
    """The record's sys_id."""
    name: str
    content_type: str = UNKNOWN_TYPE


class StoredFile(Struct, frozen=True, kw_only=True):
    """A file that is attached; its bytes never change."""

    sys_id: str
    name: str
    content_type: str
    size: int
    """Bytes."""
    digest: str
    """SHA-256 of the content, hexadecimal."""


def safe_name(text: str) -> str:
    """Return the last part of a path, at most 100 characters, with its extension.

    >>> safe_name("C:\\\\temp\\\\plan.pdf"), safe_name("../../etc/passwd")
    ('plan.pdf', 'passwd')
    >>> len(safe_name("x" * 200 + ".txt")), safe_name("x" * 200 + ".txt")[-5:]
    (100, 'x.txt')

    Raises:
        FileRefused: nothing is left, or it holds control characters.
    """
    name = text.replace("\\", "/").rpartition("/")[2].strip()
    if name in ("", ".", "..") or _UNPRINTABLE.search(name):
        raise FileRefused("The file has no usable name", hint="Give file_name, such as plan.pdf.")
    if len(name) <= LONGEST_NAME:
        return name
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension) > LONGEST_NAME // 2:
        return name[:LONGEST_NAME]
    return f"{stem[: LONGEST_NAME - len(extension) - 1]}{dot}{extension}"


def safe_type(text: str) -> str:
    """Return a content type that a header may carry.

    Raises:
        FileRefused: it is none, or longer than 100 characters.
    """
    found = text.strip()
    if len(found) > LONGEST_NAME or not _TYPE.fullmatch(found):
        raise FileRefused("The content type is none", hint="Send one such as application/pdf.")
    return found


def is_type(text: str) -> bool:
    """Tell whether a stored content type is one that a header may carry."""
    return _TYPE.fullmatch(text) is not None


def check_extension(name: str, setting: Property) -> None:
    """Compare a name with the allowed extensions.

    Raises:
        FileRefused: its extension is not among them.
    """
    allowed = [part.strip().lower().removeprefix(".") for part in setting(EXTENSIONS).split(",")]
    allowed = [part for part in allowed if part]
    extension = name.rpartition(".")[2].lower() if "." in name else ""
    if allowed and extension not in allowed:
        raise FileRefused(
            f"Files with the extension {extension or '(none)'} may not be attached",
            hint=f"Allowed are {', '.join(allowed)}; the property {EXTENSIONS} says so.",
        )


def largest_size(setting: Property) -> int:
    """Return how many bytes a file may have.

    >>> largest_size(lambda name: "2"), largest_size(lambda name: "much")
    (2097152, 1073741824)
    """
    given = setting(MAX_SIZE).strip()
    # 12 digits are more than any disk has; more would only make an enormous number to compare.
    megabytes = int(given[:12]) if given.isascii() and given.isdecimal() else DEFAULT_MEGABYTES
    return megabytes * 1024 * 1024


def pack(piece: bytes) -> tuple[str, int]:
    """Return a piece as it is kept, and its packed size in bytes.

    What does not become smaller, such as an image, is only wrapped.

    >>> text, size = pack(b"a" * 1000)
    >>> size < 100, unpack(text) == b"a" * 1000
    (True, True)
    """
    sample = piece[:_SAMPLE]
    worth = len(gzip.compress(sample, 1, mtime=0)) < 0.95 * len(sample)
    packed = gzip.compress(piece, 1 if worth else 0, mtime=0)
    return base64.b64encode(packed).decode(), len(packed)


def unpack(text: str) -> bytes:
    """Return the bytes of a kept piece."""
    return gzip.decompress(base64.b64decode(text))
