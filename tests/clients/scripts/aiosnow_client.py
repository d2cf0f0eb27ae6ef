"""aiosnow: the asynchronous Python client; models with types, streams by page, attachments."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiosnow
from aiosnow.exceptions import NoItems, RequestError, TooManyItems
from aiosnow.models import TableModel, fields
from aiosnow.models.table.declared import IncidentModel as Incident
from aiosnow.query import select
from checks import (
    HOST,
    PASSWORD,
    READER,
    READER_PASSWORD,
    URL,
    USER,
    check,
    equal,
    holds,
    refused,
    run,
)

ADMIN = "6816f79cc0a8016401c5a33be04be441"


class User(TableModel):
    sys_id = fields.String(is_primary=True)
    user_name = fields.String()
    name = fields.String()


class Server(TableModel):
    sys_id = fields.String(is_primary=True)
    name = fields.String()


def waited(function: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    def wait() -> None:
        asyncio.run(function())

    wait.__name__ = function.__name__
    check(wait)
    return wait


def connect(user: str = USER, password: str = PASSWORD) -> aiosnow.Client:
    return aiosnow.Client(HOST, basic_auth=(user, password))


def incidents(client: aiosnow.Client | None = None) -> Incident:
    return Incident(client or connect(), table_name="incident")


@waited
async def documented_example() -> None:
    async with incidents() as made:
        await made.create({"short_description": "aiosnow example", "urgency": 1, "impact": 1})
    # example
    client = aiosnow.Client(HOST, basic_auth=(USER, PASSWORD))  # HOST: "127.0.0.1:8443"
    async with Incident(client, table_name="incident") as incident:
        found = await incident.get(Incident.priority <= 3, limit=5)
        numbers = [record["number"] for record in found]
    # end of example
    holds(numbers and numbers[0].startswith("INC"), numbers)


@waited
async def create_get_update_delete() -> None:
    async with incidents() as model:
        created = await model.create({"short_description": "aiosnow life", "impact": 1})
        equal(
            (created.status, created["impact"].key, created["impact"].value), (201, 1, "1 - High")
        )
        number, sys_id = created["number"], created["sys_id"]
        one = await model.get_one(Incident.number == number)
        equal((one["sys_id"], one["active"], one["sys_mod_count"]), (sys_id, True, 0))
        holds(one["sys_created_on"].year >= 2020, one["sys_created_on"])
        changed = await model.update(Incident.number == number, {"short_description": "changed"})
        equal((changed.status, changed["short_description"]), (200, "changed"))
        equal((await model.delete(sys_id)).status, 204)
        with refused(NoItems):
            await model.get_one(Incident.number == number)


@waited
async def several_found_are_not_one() -> None:
    async with incidents() as model:
        for _ in range(2):
            await model.create({"short_description": "aiosnow many"})
        with refused(TooManyItems):
            await model.get_one(Incident.short_description == "aiosnow many")


@waited
async def pages_are_streamed() -> None:
    async with incidents() as model:
        for _ in range(7):
            await model.create({"short_description": "aiosnow page"})
        wanted = select(Incident.short_description.equals("aiosnow page")).order_asc(
            Incident.number
        )
        numbers, addresses = [], set()
        async for response, record in model.stream(wanted, limit=100, page_size=3):
            numbers.append(record["number"])
            addresses.add(str(response.url))
        equal((len(numbers), numbers, len(addresses)), (7, sorted(set(numbers)), 3))


@waited
async def operators() -> None:
    async with incidents() as model:
        first = (await model.create({"short_description": "aiosnow op 1", "urgency": 1}))["number"]
        second = (await model.create({"short_description": "aiosnow op 2", "urgency": 3}))["number"]
        text = Incident.short_description
        for condition, expected in (
            (text.contains("AIOSNOW OP"), [first, second]),
            (text.starts_with("aiosnow op") & text.ends_with("2"), [second]),
            (text.equals("aiosnow op 1") | text.equals("aiosnow op 2"), [first, second]),
            (text.starts_with("aiosnow op") & text.not_equals("aiosnow op 1"), [second]),
            (text.starts_with("aiosnow op") & Incident.urgency.less_than(2), [first]),
            (text.starts_with("aiosnow op") & Incident.urgency.between(2, 3), [second]),
            (text.in_list(["aiosnow op 1", "x"]), [first]),
            (text.starts_with("aiosnow op") & Incident.caller_id.is_empty(), [first, second]),
            (
                text.starts_with("aiosnow op") & Incident.sys_created_on.after("2020-01-01"),
                [first, second],
            ),
            (text.starts_with("aiosnow op") & Incident.active.is_true(), [first, second]),
        ):
            found = await model.get(select(condition).order_asc(Incident.number))
            equal([record["number"] for record in found], expected)


@waited
async def limit_offset_and_chosen_fields() -> None:
    async with incidents() as model:
        for place in range(3):
            await model.create({"short_description": "aiosnow few", "description": str(place)})
        wanted = select(Incident.short_description.equals("aiosnow few")).order_asc(Incident.number)
        found = await model.get(wanted, limit=1, offset=1, return_only=["number", "description"])
        equal(int(found.headers["X-Total-Count"]), 3)
        equal([set(record) for record in found], [{"number", "description"}] * len(found))
        equal(found.data[0]["description"], "1")


@waited
async def another_table_with_a_model_of_our_own() -> None:
    async with User(connect(), table_name="sys_user") as model:
        one = await model.get_one(User.user_name == "admin")
        equal((one["sys_id"], one["name"]), (ADMIN, "System Administrator"))


@waited
async def attachments_up_list_down() -> None:
    async with incidents() as model:
        sys_id = (await model.create({"short_description": "aiosnow attachment"}))["sys_id"]
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "notes.txt").write_bytes(b"kept as it is")
            made = await model.upload_file(sys_id, str(Path(folder) / "notes.txt"))
            equal((made.status, made["file_name"], made["size_bytes"]), (201, "notes.txt", 13))
            listed = await model.get_attachments(f"table_sys_id={sys_id}")
            equal([one["sys_id"] for one in listed], [made["sys_id"]])
            holds(made["download_link"].startswith(f"{URL}/api/now/"), made["download_link"])
            down = Path(folder) / "down"
            await model.download_file(f"sys_id={made['sys_id']}", str(down))
            equal((down / "notes.txt").read_bytes(), b"kept as it is")


@waited
async def wrong_password_is_401() -> None:
    async with incidents(connect(password="wrong")) as model:
        with refused(RequestError, says="User Not Authenticated"):
            await model.get(limit=1)


@waited
async def refused_by_access_is_403() -> None:
    async with Server(connect(READER, READER_PASSWORD), table_name="cmdb_ci_server") as model:
        try:
            await model.create({"name": "aiosnow"})
        except RequestError as error:
            equal(error.status, 403)
        else:
            holds(False, "not refused")


@waited
async def unknown_record_and_table() -> None:
    async with incidents() as model:
        with refused(RequestError, says="No Record found"):
            await model.update("0" * 32, {"urgency": 1})
        with refused(RequestError, says="No Record found"):
            await model.delete("0" * 32)
    async with Incident(connect(), table_name="incidnet") as model:
        with refused(RequestError, says="Invalid table incidnet"):
            await model.get(limit=1)


run("aiosnow")
