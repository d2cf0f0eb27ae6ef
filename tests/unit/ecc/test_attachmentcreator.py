"""Messages of the queue that carry a file."""

from __future__ import annotations

import base64

import pytest

from midspan.instance import Instance
from midspan.records import RIGHTS, Record, insert
from midspan.security import SYSTEM, Actor


@pytest.fixture
def incident(instance: Instance) -> str:
    """Return the id of an incident."""
    with instance.records.write(SYSTEM, enforce=False) as records:
        return records.apply(insert("incident", {"short_description": "VPN"})).sys_id


def sender(instance: Instance, role: str) -> Actor:
    with instance.records.write(SYSTEM, enforce=False) as records:
        user = records.apply(insert("sys_user", {"user_name": f"sends-{instance.ids.token(6)}"}))
        wanted = records.first("sys_user_role", f"name={role}")
        assert wanted
        records.apply(insert("sys_user_has_role", {"user": user.sys_id, "role": wanted.sys_id}))
    return instance.identities.actor(user.sys_id, instance.holder.current().part(RIGHTS))


def send(instance: Instance, source: str, actor: Actor, content: bytes = b"hello") -> Record:
    values = {
        "agent": "AttachmentCreator",
        "topic": "AttachmentCreator",
        "name": "note: one.txt:text/plain",
        "source": source,
        "payload": base64.b64encode(content).decode(),
    }
    with instance.records.write(actor) as records:
        sys_id = records.apply(insert("ecc_queue", values)).sys_id
    with instance.records.read(SYSTEM) as records:
        return records.require("ecc_queue", sys_id)


def files(instance: Instance, incident: str) -> list[Record]:
    with instance.records.read(SYSTEM) as records:
        return records.find("sys_attachment", f"table_sys_id={incident}")


def test_the_file_is_attached_in_the_senders_name(instance: Instance, incident: str) -> None:
    actor = sender(instance, "itil")
    message = send(instance, f"incident:{incident}", actor, b"\x00\xff" * 400_000)
    assert (message.get("state"), message.get("error_string")) == ("processed", "")
    (file,) = files(instance, incident)
    assert (file.get("file_name"), file.get("content_type")) == ("note: one.txt", "text/plain")
    assert (file.get("size_bytes"), file.get("sys_created_by")) == ("800000", actor.user_name)
    with instance.records.read(SYSTEM) as records:
        stored = instance.attachments.find(records, file.sys_id)
    assert b"".join(instance.attachments.pieces(stored)) == b"\x00\xff" * 400_000


def test_who_may_not_write_the_record_attaches_nothing(instance: Instance, incident: str) -> None:
    message = send(instance, f"incident:{incident}", sender(instance, "soap_ecc"))
    assert message.get("state") == "error"
    assert message.get("error_string")
    assert files(instance, incident) == []
