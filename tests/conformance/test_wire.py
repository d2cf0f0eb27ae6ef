"""Every wire case, against both databases, in process and over a socket.

A case is one YAML file: ``about``, ``source`` (kind docs, client, live or ours; ref; seen;
confidence), optionally ``user`` (default admin), ``properties`` set while it runs, ``given``
records and ``attachments`` that it needs, then ``request`` and ``response``. ``<attachment>`` is
the sys_id of the first attachment given. In expected texts ``<base>`` is the address of the
instance, ``<id>`` any sys_id and ``<any>`` anything. ``json`` is compared exactly, ``json_has``
only in the members it names. ``holds`` names the methods of script classes that a case holds, by
class; the coverage page of the script API counts them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from midspan.attachments import NewFile
from midspan.instance import Instance
from midspan.records import delete, insert
from midspan.security import SYSTEM

CASES = sorted(Path(__file__).parent.glob("*/*.yaml"))
KINDS = {"docs", "client", "live", "ours"}
CONFIDENCE = {"certain", "likely", "guess", "decided"}


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_wire(path: Path, wire: Any) -> None:
    text = path.read_text()
    with prepared(wire.instance, yaml.load(text, yaml.CSafeLoader)) as attachment:
        case = yaml.load(text.replace("<attachment>", attachment), yaml.CSafeLoader)
        response = wire.send(case["request"], case.get("user", "admin"))
        problems = list(differences(case["response"], response, wire.base))
        created = response.headers.get("location", "").rpartition("/")
        if response.status_code == 201 and created[2]:
            table, sys_id = created[0].rpartition("/")[2], created[2]
            if sys_id == "file":
                table, sys_id = "sys_attachment", table
            remove(wire.instance, table, sys_id)
    assert not problems, f"{response.status_code} {response.text[:2000]}"


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_case_names_its_source(path: Path) -> None:
    case = yaml.load(path.read_text(), yaml.CSafeLoader)
    assert case["source"]["kind"] in KINDS
    assert case["source"]["confidence"] in CONFIDENCE
    assert case["source"]["ref"]
    assert set(case) <= {
        "about",
        "holds",
        "source",
        "user",
        "properties",
        "given",
        "attachments",
        "request",
        "response",
    }


@contextmanager
def prepared(instance: Instance, case: dict[str, Any]) -> Iterator[str]:
    """Store what a case needs and take it away again; yield its first attachment's sys_id."""
    wanted = [(r["table"], r["sys_id"], r["values"]) for r in case.get("given", [])]
    for place, (name, value) in enumerate((case.get("properties") or {}).items()):
        sys_id = f"{place:032x}"
        wanted.append(("sys_properties", sys_id, {"name": name, "value": str(value)}))
    with instance.records.write(SYSTEM, enforce=False) as records:
        for table, sys_id, values in wanted:
            records.apply(insert(table, values, sys_id=sys_id))
    files = []
    for given in case.get("attachments", []):
        new = NewFile(
            table=given["table"],
            record=given["record"],
            name=given["name"],
            content_type=given["type"],
        )
        content = given["content"].encode() * given.get("times", 1)
        files.append(instance.attachments.write(SYSTEM, new, [content]))
    try:
        yield files[0] if files else ""
    finally:
        for sys_id in files:
            remove(instance, "sys_attachment", sys_id)
        for table, sys_id, _ in wanted:
            remove(instance, table, sys_id)


def remove(instance: Instance, table: str, sys_id: str) -> None:
    with instance.records.write(SYSTEM, enforce=False) as records:
        if records.get(table, sys_id) is None:
            return
        if records.dictionary.table(table).engine:
            records.engine_delete(table, sys_id)
        else:
            records.apply(delete(table, sys_id))


def differences(expected: dict[str, Any], response: httpx.Response, base: str) -> Iterator[str]:
    if response.status_code != expected["status"]:
        yield f"status {response.status_code}"
    for name, value in (expected.get("headers") or {}).items():
        found = response.headers.get(name)
        if not (found is None if value is None else found is not None and fits(value, found, base)):
            yield f"header {name}: {found}"
    for name in ("json", "json_has"):
        if name in expected and not fits(
            expected[name], response.json(), base, partly=name == "json_has"
        ):
            yield f"{name}: {response.text}"
    if "text" in expected and not fits(expected["text"], response.text, base):
        yield f"text: {response.text}"


def fits(expected: Any, found: Any, base: str, *, partly: bool = False) -> bool:
    """Compare, with the wild cards of the cases.

    >>> fits({"a": "<any>"}, {"a": "x", "b": 1}, "", partly=True)
    True
    >>> fits(["<id>"], ["6816f79cc0a8016401c5a33be04be441"], ""), fits("x<any>", "y", "")
    (True, False)
    """
    if isinstance(expected, dict) and isinstance(found, dict):
        keys = expected.keys() <= found.keys() if partly else expected.keys() == found.keys()
        return keys and all(
            fits(value, found[key], base, partly=partly) for key, value in expected.items()
        )
    if isinstance(expected, list) and isinstance(found, list):
        return len(expected) == len(found) and all(
            fits(one, other, base, partly=partly)
            for one, other in zip(expected, found, strict=True)
        )
    if isinstance(expected, str) and isinstance(found, str):
        pattern = re.escape(expected).replace("<base>", re.escape(base))
        pattern = pattern.replace("<id>", "[0-9a-f]{32}").replace("<any>", ".*")
        return re.fullmatch(pattern, found, re.DOTALL) is not None
    return type(expected) is type(found) and bool(expected == found)
