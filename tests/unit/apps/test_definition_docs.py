"""The format's reference page: its example loads, and it names every key there is."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from msgspec import Struct

from midspan.apps import definition
from midspan.apps.load import load_app
from midspan.dictionary import Dictionary, TableSpec
from midspan.kernel.ids import derived_id

PAGE = Path(__file__).parents[3] / "docs/reference/app-files.md"
FILE = re.compile(r"^\*\*`([^`]+)`\*\*\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
KINDS = [
    kind
    for name, kind in vars(definition).items()
    if name.endswith("File") and isinstance(kind, type) and issubclass(kind, Struct)
]


def test_the_example_is_an_app(tmp_path: Path) -> None:
    files = FILE.findall(PAGE.read_text(encoding="utf-8"))
    for name, content in files:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    app = load_app(tmp_path)
    assert len(files) == 10
    assert app.app.requires == ("platform",)
    targets = [TableSpec(name="cmn_location"), TableSpec(name="sys_user")]
    booking = Dictionary.build([*app.tables, *targets]).table("u_desk_booking")
    assert booking.display == "number"
    assert booking.number is not None
    assert booking.number.text(10001) == "DSK0010001"
    by_table: dict[str, int] = {}
    for record in app.records:
        by_table[record.table] = by_table.get(record.table, 0) + 1
    assert by_table == {
        "sys_user_role": 2,
        "sys_user_role_contains": 1,
        "cmn_location": 1,
        "u_desk": 2,
        "sys_security_acl": 7,
        "sys_security_acl_role": 6,
        "sys_properties": 1,
        "sys_ws_definition": 1,
        "sys_ws_operation": 1,
        "sys_script": 1,
    }
    desk = next(record for record in app.records if record.sys_id == derived_id("u_desk", "n2"))
    assert desk.values["u_room"] == derived_id("cmn_location", "north")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.__name__))
def test_every_key_is_on_the_page(kind: type[Struct]) -> None:
    prose = re.sub(r"^```.*?^```$", "", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
    named = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", prose))))
    assert {field.encode_name for field in msgspec.structs.fields(kind)} <= named
