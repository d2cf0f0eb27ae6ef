"""The attacks that have a name, as bodies for any door. Pure; the bombs are made once."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from functools import cache

from msgspec import Struct

DEPTH = 100_000
MEGABYTE = 2**20
FIELD = "short_description"
META = ("'", '"', "\\", "';DROP TABLE sys_user;--", "' OR '1'='1", "1)) UNION SELECT 1--", "/*",
        "%", "_", "\x00", "$1", "?", ":x", "`", "]", "%s", "{0}")  # fmt: skip
"""What means something to SQL, to its drivers or to those who format texts."""


class Body(Struct, frozen=True):
    """One attack in the body of a request."""

    name: str
    media: str
    content: bytes
    encoding: str = ""
    """Content-Encoding."""


def xml_bodies(secret_file: str, canary_url: str) -> Iterator[Body]:
    """Yield XML that reads a file, opens a connection, or grows; all of it has a DTD."""
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "ha"}">' for n in range(12))
    flat = f'<!ENTITY q "{"q" * 50_000}">'
    inside = {
        "billion laughs": (laughs, "&l11;"),
        "quadratic blow-up": (flat, "&q;" * 5_000),
        "external entity, file": (f'<!ENTITY x SYSTEM "file://{secret_file}">', "&x;"),
        "external entity, http": (f'<!ENTITY x SYSTEM "{canary_url}">', "&x;"),
        "external entity, public": (f'<!ENTITY x PUBLIC "-//X" "{canary_url}">', "&x;"),
        "parameter entity": (f'<!ENTITY % p SYSTEM "{canary_url}"> %p;', "x"),
        "parameter entity, file": (f'<!ENTITY % p SYSTEM "file://{secret_file}"> %p;', "x"),
        "entity without use": ('<!ENTITY a "a">', "x"),
        "attribute default": ('<!ATTLIST entry state CDATA "7">', "x"),
    }
    for name, (subset, text) in inside.items():
        inner = f"<request><entry><{FIELD}>{text}</{FIELD}></entry></request>"
        document = f"<!DOCTYPE request [{subset}]>{inner}"
        yield Body(name, "application/xml", document.encode())
        yield Body(f"{name}, UTF-16", "text/xml", document.encode("utf-16"))
    plain = f"<request><entry><{FIELD}>x</{FIELD}></entry></request>"
    yield Body(
        "external DTD", "application/xml", f'<!DOCTYPE r SYSTEM "{canary_url}">{plain}'.encode()
    )
    yield Body("late DTD", "application/xml", f"<?x ?><!-- y --><!DOCTYPE r>{plain}".encode())


def heavy_xml() -> Iterator[Body]:
    """Yield XML without a DTD that is deep or becomes large."""
    media = "application/xml"
    yield Body("elements in elements", media, b"<a>" * DEPTH + b"</a>" * DEPTH)
    yield Body("elements never closed", media, b"<a>" * DEPTH)
    yield Body("millions of elements", media, b"<r>" + b"<a/>" * (2 * MEGABYTE) + b"</r>")
    attributes = b" ".join(b'a%d="x"' % n for n in range(500_000))
    yield Body("half a million attributes", media, b"<r " + attributes + b"/>")
    attributes = b" ".join(b'a%d="x"' % n for n in range(50_000))
    yield Body("50,000 attributes", media, b"<r " + attributes + b"/>")
    hidden = '<?xml version="1.0" encoding="UTF-7"?><r>+ADwAIQ-DOCTYPE r+AD4-</r>'
    yield Body("UTF-7", media, hidden.encode())


def heavy_json() -> Iterator[Body]:
    """Yield JSON that is deep or becomes large; all of it is to be refused."""
    media = "application/json"
    yield Body("arrays in arrays", media, b"[" * DEPTH + b"]" * DEPTH)
    yield Body("objects in objects", media, b'{"a":' * DEPTH + b"1" + b"}" * DEPTH)
    yield Body("arrays never closed", media, b"[" * DEPTH)
    yield Body("objects never closed, lenient", media, b"{'a':" * DEPTH)
    yield Body("millions of objects", media, b"[" + b"{}," * (3 * MEGABYTE) + b"{}]")
    yield Body("millions of values", media, b'{"a":[' + b"1," * (4 * MEGABYTE) + b"1]}")
    keys = b",".join(b'"u_%d":1' % n for n in range(500_000))
    yield Body("half a million keys", media, b"{" + keys + b"}")
    yield Body("longer than any body", media, b'{"a":"' + b"x" * (26 * MEGABYTE) + b'"}')


BOMBS = ("gzip bomb", "gzip bomb as XML", "gzip bomb in a gzip bomb", "deflate bomb",
         "broken gzip", "no gzip at all", "unknown packing")  # fmt: skip
"""Names of the bombs, for who does not want to make them yet."""


@cache
def bombs() -> tuple[Body, ...]:
    """Return bodies that grow when they are unpacked: 256 MB out of 256 kB, and less of that."""
    text = b'{"short_description":"' + b"0" * (256 * MEGABYTE) + b'"}'
    once = gzip.compress(text, 6)
    return (
        Body("gzip bomb", "application/json", once, "gzip"),
        Body("gzip bomb as XML", "application/xml", once, "x-gzip"),
        Body("gzip bomb in a gzip bomb", "application/json", gzip.compress(once), "gzip, gzip"),
        Body("deflate bomb", "application/json", zlib.compress(text, 6), "deflate"),
        Body("broken gzip", "application/json", once[:1_000], "gzip"),
        Body("no gzip at all", "application/json", b"not packed", "gzip"),
        Body("unknown packing", "application/json", b"\x1b\x03\x00\xf8", "br"),
    )
