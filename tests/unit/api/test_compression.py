"""gzip on the way in, within limits, and on the way out for those who take it."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.unit.api.conftest import USER, Site

from midspan.api.compression import _Stream
from midspan.api.errors import InflatedTooLarge
from midspan.kernel.errors import MalformedBody
from midspan.records import delete, insert
from midspan.security import SYSTEM

INCIDENTS = "/api/now/table/incident"
MB = 1024 * 1024


def noise(seed: int, size: int) -> bytes:
    """Return bytes that no packing makes smaller, the same ones every time."""
    return hashlib.shake_256(bytes([seed])).digest(size)


def packed(site: Site, path: str, body: bytes, **more: Any) -> httpx.Response:
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    headers |= more.pop("headers", {})
    return site.send("POST", path, user="admin", content=body, headers=headers, **more)


def test_a_packed_body_is_read_like_another(site: Site) -> None:
    body = gzip.compress(b'{"short_description": "Packed"}')
    answer = packed(site, f"{INCIDENTS}?sysparm_fields=short_description", body)
    assert answer.status_code == 201
    assert answer.json() == {"result": {"short_description": "Packed"}}


def test_members_follow_each_other(site: Site) -> None:
    body = gzip.compress(b'{"short_description":') + gzip.compress(b' "Two"}')
    answer = packed(site, f"{INCIDENTS}?sysparm_fields=short_description", body)
    assert answer.json() == {"result": {"short_description": "Two"}}


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "gzip, gzip"])
def test_other_encodings_are_refused_with_the_one_that_is_read(site: Site, encoding: str) -> None:
    answer = packed(site, INCIDENTS, b"{}", headers={"Content-Encoding": encoding})
    assert answer.status_code == 415
    assert answer.headers["accept-encoding"] == "gzip"


def test_identity_is_no_encoding(site: Site) -> None:
    answer = packed(site, INCIDENTS, b"{}", headers={"Content-Encoding": "identity"})
    assert answer.status_code == 201


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        gzip.compress(b"{}")[:-4],
        gzip.compress(b"{}") + b"rest",
        gzip.compress(b"") * 101 + gzip.compress(b"{}"),
    ],
    ids=["plain", "cut", "rest", "members"],
)
def test_what_is_no_gzip_is_refused(site: Site, body: bytes) -> None:
    answer = packed(site, INCIDENTS, body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "Exception while reading request"


def test_a_bomb_is_refused_before_it_is_there(site: Site) -> None:
    bomb = gzip.compress(b" " * (200 * MB))
    tracemalloc.start()
    try:
        answer = packed(site, INCIDENTS, bomb)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert answer.status_code == 413
    assert peak < 50 * MB


def test_a_streamed_bomb_is_refused_before_it_is_there(site: Site) -> None:
    bomb = gzip.compress(b"\0" * (200 * MB))
    place = {"table_name": "incident", "table_sys_id": USER, "file_name": "bomb.bin"}
    tracemalloc.start()
    try:
        answer = packed(site, "/api/now/attachment/file", bomb, params=place)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert answer.status_code == 413
    assert peak < 50 * MB
    with site.instance.records.read(SYSTEM, enforce=False) as records:
        assert records.find("sys_attachment", "file_name=bomb.bin") == []
        assert records.find("sys_attachment_upload", "") == []


def test_a_packed_file_is_stored_as_it_was(site: Site) -> None:
    content = noise(7, 2 * MB)
    place = {"table_name": "incident", "table_sys_id": USER, "file_name": "random.bin"}
    kind = {"Content-Type": "application/octet-stream"}
    made = packed(
        site, "/api/now/attachment/file", gzip.compress(content), params=place, headers=kind
    )
    assert made.status_code == 201
    sys_id = made.json()["result"]["sys_id"]
    answer = site.send("GET", f"/api/now/attachment/{sys_id}/file", user="admin")
    assert answer.content == content
    site.send("DELETE", f"/api/now/attachment/{sys_id}", user="admin")


def test_a_part_of_a_batch_may_be_packed(site: Site) -> None:
    body = base64.b64encode(gzip.compress(b'{"short_description": "Part"}')).decode()
    part = {
        "id": "a",
        "method": "POST",
        "url": f"{INCIDENTS}?sysparm_fields=short_description",
        "headers": [
            {"name": "Content-Encoding", "value": "gzip"},
            {"name": "Accept-Encoding", "value": "gzip"},
        ],
        "body": body,
    }
    batch = {"rest_requests": [part]}
    served = site.send("POST", "/api/now/v1/batch", user="admin", json=batch).json()
    found = served["serviced_requests"][0]
    assert found["status_code"] == 201
    assert json.loads(base64.b64decode(found["body"]))["result"]["short_description"] == "Part"


@pytest.mark.parametrize("size", [1, 7, 1000, 10_000_000])
def test_pieces_of_any_size_give_the_same(size: int) -> None:
    content = noise(3, 30_000) + b"a" * 300_000
    whole, stream, found = gzip.compress(content), _Stream(), bytearray()
    for start in range(0, len(whole), size):
        for piece in stream.feed(whole[start : start + size]):
            found += piece
    stream.end()
    assert bytes(found) == content


def test_much_may_come_of_a_body_that_is_long_itself() -> None:
    stream, taken = _Stream(), 0
    content = noise(5, MB // 8) * 8
    for piece in stream.feed(gzip.compress(content * 12)):
        taken += len(piece)
    assert taken == 12 * MB
    with pytest.raises(InflatedTooLarge):
        list(_Stream().feed(gzip.compress(b" " * (11 * MB))))
    with pytest.raises(MalformedBody):
        list(_Stream().feed(b"no gzip"))


# Answers


LONG = f"{INCIDENTS}?sysparm_query=correlation_id=long&sysparm_fields=description"


@pytest.fixture(scope="module")
def long_site(site: Site) -> Iterator[Site]:
    with site.instance.records.write(SYSTEM, enforce=False) as records:
        values = {"description": "long " * 700, "correlation_id": "long"}
        made = [records.apply(insert("incident", values)) for _ in range(3)]
    yield site
    with site.instance.records.write(SYSTEM, enforce=False) as records:
        for each in made:
            records.apply(delete("incident", each.sys_id))


def asked(site: Site, encoding: str, path: str = LONG) -> httpx.Response:
    return site.send("GET", path, user="admin", headers={"Accept-Encoding": encoding})


def test_a_long_answer_is_packed_for_those_who_take_it(long_site: Site) -> None:
    plain = asked(long_site, "identity")
    assert "content-encoding" not in plain.headers
    found = asked(long_site, "br, gzip;q=0.5")
    assert found.headers["content-encoding"] == "gzip"
    assert found.headers["vary"] == "Accept-Encoding"
    assert int(found.headers["content-length"]) < len(plain.content) / 5
    assert found.content == plain.content


@pytest.mark.parametrize("encoding", ["", "identity", "br", "gzip;q=0", "gzip;q=0.0, br"])
def test_a_long_answer_is_plain_for_others(long_site: Site, encoding: str) -> None:
    found = asked(long_site, encoding)
    assert "content-encoding" not in found.headers
    assert len(found.json()["result"]) == 3


def test_a_short_answer_is_plain(long_site: Site) -> None:
    found = asked(long_site, "gzip", f"{LONG}&sysparm_limit=1")
    assert "content-encoding" not in found.headers


def test_a_property_leaves_packing_to_a_proxy(long_site: Site) -> None:
    value = {"name": "midspan.rest.compress", "value": "false"}
    with long_site.instance.records.write(SYSTEM, enforce=False) as records:
        made = records.apply(insert("sys_properties", value))
    assert "content-encoding" not in asked(long_site, "gzip").headers
    with long_site.instance.records.write(SYSTEM, enforce=False) as records:
        records.apply(delete("sys_properties", made.sys_id))
    assert asked(long_site, "gzip").headers["content-encoding"] == "gzip"


def test_the_etag_of_a_packed_answer_is_weak_and_still_good(long_site: Site) -> None:
    with long_site.instance.records.write(SYSTEM, enforce=False) as records:
        values = {"description": "x" * 4000, "close_notes": "y" * 4000, "correlation_id": "tag"}
        made = records.apply(insert("incident", {**values, "work_notes": "z"}))
    path = f"{INCIDENTS}/{made.sys_id}"
    plain, found = asked(long_site, "", path), asked(long_site, "gzip", path)
    assert found.headers["content-encoding"] == "gzip"
    assert found.headers["etag"] == f"W/{plain.headers['etag']}"
    headers = {"If-Match": found.headers["etag"]}
    again = long_site.send("PATCH", path, user="admin", json={"impact": "1"}, headers=headers)
    assert again.status_code == 200
    with long_site.instance.records.write(SYSTEM, enforce=False) as records:
        records.apply(delete("incident", made.sys_id))
