"""pysnow: the most used Python client; streams, attachments, OAuth, its own query builder."""

from __future__ import annotations

import tempfile
import warnings
from datetime import datetime
from pathlib import Path

import pysnow
import requests
from checks import (
    CLIENT_ID,
    CLIENT_SECRET,
    HOST,
    PASSWORD,
    READER,
    READER_PASSWORD,
    USER,
    check,
    equal,
    holds,
    refused,
    run,
)

warnings.simplefilter("ignore")


def connect(user: str = USER, password: str = PASSWORD) -> pysnow.Client:
    return pysnow.Client(host=HOST, user=user, password=password)


def number_of(short_description: str) -> str:
    return str(incidents().create({"short_description": short_description})["number"])


def incidents(client: pysnow.Client | None = None) -> pysnow.Resource:
    return (client or connect()).resource(api_path="/table/incident")


@check
def documented_example() -> None:
    # example
    client = pysnow.Client(host=HOST, user=USER, password=PASSWORD)  # HOST: "127.0.0.1:8443"
    incident = client.resource(api_path="/table/incident")
    created = incident.create({"short_description": "From pysnow", "urgency": "1", "impact": "1"})
    changed = incident.update({"number": created["number"]}, {"description": "More"})
    # end of example
    equal(changed["description"], "More")
    equal(created["priority"], "1")
    holds(created["number"].startswith("INC"), created["number"])


@check
def create_answers_201_with_every_column() -> None:
    response = incidents().create({"short_description": "pysnow columns"})
    equal(response._response.status_code, 201)
    record = response.one()
    equal((record["active"], record["caller_id"], record["state"]), ("true", "", "1"))
    equal(record["opened_by"]["value"], "6816f79cc0a8016401c5a33be04be441")
    holds(record["opened_by"]["link"].startswith(f"https://{HOST}/api/now/"), record)


@check
def one_record_by_number() -> None:
    number = number_of("pysnow one")
    equal(incidents().get(query={"number": number}).one()["short_description"], "pysnow one")


@check
def nothing_found_is_no_error() -> None:
    equal(incidents().get(query={"number": "INC9999999"}).one_or_none(), None)
    with refused(pysnow.exceptions.NoResults):
        incidents().get(query={"number": "INC9999999"}).one()


@check
def several_found_are_not_one() -> None:
    number_of("pysnow many"), number_of("pysnow many")
    with refused(pysnow.exceptions.MultipleResults):
        incidents().get(query={"short_description": "pysnow many"}).one()


@check
def query_builder_with_order_and_or() -> None:
    first, second = number_of("pysnow qb a"), number_of("pysnow qb b")
    number_of("pysnow qb c")
    query = (
        pysnow.QueryBuilder()
        .field("short_description").equals(["pysnow qb a", "pysnow qb b"])
        .AND()
        .field("sys_created_on").between(datetime(2020, 1, 1), datetime(2100, 1, 1))
        .AND()
        .field("number").order_descending()
    )  # fmt: skip
    found = [row["number"] for row in incidents().get(query=query, fields=["number"]).all()]
    equal(found, [second, first])
    either = (
        pysnow.QueryBuilder()
        .field("number").equals(first)
        .OR()
        .field("number").equals(second)
    )  # fmt: skip
    equal(len(incidents().get(query=either).all()), 2)
    apart = (
        pysnow.QueryBuilder()
        .field("number").equals(first)
        .NQ()
        .field("short_description").ends_with("qb b")
    )  # fmt: skip
    equal(len(incidents().get(query=apart).all()), 2)


@check
def query_operators() -> None:
    number = number_of("pysnow operators %_'")
    builder = pysnow.QueryBuilder
    for query in (
        builder().field("short_description").contains("OPERATORS"),
        builder().field("short_description").starts_with("pysnow operators"),
        builder().field("sys_mod_count").less_than(1).AND().field("number").equals(number),
        builder().field("short_description").is_not_empty().AND().field("number").equals(number),
        builder().field("caller_id").is_empty().AND().field("number").equals(number),
        builder().field("short_description").contains("%_'"),
    ):
        equal([row["number"] for row in incidents().get(query=query).all()], [number])
    others = builder().field("number").not_equals(number)
    holds(number not in [row["number"] for row in incidents().get(query=others).all()])


@check
def pages_with_limit_and_offset() -> None:
    for _ in range(5):
        number_of("pysnow page")
    query, seen = "short_description=pysnow page^ORDERBYnumber", []
    for offset in (0, 2, 4):
        response = incidents().get(query=query, limit=2, offset=offset, fields=["number"])
        equal(response.headers["X-Total-Count"], "5")
        seen += [row["number"] for row in response.all()]
    equal((len(seen), seen), (5, sorted(set(seen))))
    holds('rel="next"' in incidents().get(query=query, limit=2).headers["Link"])
    suppressed = incidents().get(query=query, limit=2, suppress_pagination_header=True)
    equal(("Link" in suppressed.headers, suppressed.headers["X-Total-Count"]), (False, "5"))


@check
def streamed_answers_are_read_bit_by_bit() -> None:
    for _ in range(3):
        number_of("pysnow stream")
    query = "short_description=pysnow stream^ORDERBYnumber"
    response = incidents().get(query=query, stream=True)
    equal(len([row["sys_id"] for row in response.all()]), 3)
    equal(response.count, 3)
    first = incidents().get(query=query, stream=True, limit=1).first()
    equal(first["short_description"], "pysnow stream")
    equal(incidents().get(query="number=x", stream=True).first_or_none(), None)


@check
def display_values() -> None:
    number = number_of("pysnow display")
    resource = incidents()
    resource.parameters.display_value = True
    row = resource.get(query={"number": number}).one()
    equal((row["state"], row["opened_by"]["display_value"]), ("New", "System Administrator"))
    resource.parameters.exclude_reference_link = True
    equal(resource.get(query={"number": number}).one()["opened_by"], "System Administrator")
    resource.parameters.display_value = "all"
    row = resource.get(query={"number": number}).one()
    equal(row["state"], {"display_value": "New", "value": "1"})


@check
def dot_walked_fields() -> None:
    number = number_of("pysnow walk")
    fields = ["number", "opened_by.user_name", "caller_id.name", "no_such_column"]
    row = incidents().get(query={"number": number}, fields=fields).one()
    equal(row, {"number": number, "opened_by.user_name": "admin", "caller_id.name": ""})


@check
def update_through_the_response() -> None:
    number = number_of("pysnow update")
    record = incidents().get(query={"number": number})
    changed = record.update({"state": "2", "work_notes": "Looked at it"})
    equal((changed["state"], changed["incident_state"], changed["work_notes"]), ("2", "2", ""))


@check
def delete() -> None:
    number = number_of("pysnow delete")
    equal(incidents().delete({"number": number}), {"status": "record deleted"})
    equal(incidents().get(query={"number": number}).one_or_none(), None)


@check
def custom_request_on_an_aggregate() -> None:
    number_of("pysnow count")
    stats = connect().resource(api_path="/stats/incident")
    params = {"sysparm_query": "short_description=pysnow count", "sysparm_count": "true"}
    stats.parameters.add_custom(params)
    equal(stats.request("GET").one(), {"stats": {"count": "1"}})


@check
def attachments_up_list_down_delete() -> None:
    client = connect()
    record = incidents(client).create({"short_description": "pysnow attachment"})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "notes.txt"
        path.write_bytes(b"kept as it is\n\xc3\xa4")
        made = record.upload(file_path=str(path))
    equal((made["file_name"], made["size_bytes"]), ("notes.txt", "16"))
    files = incidents(client).attachments
    listed = files.get(sys_id=record["sys_id"])
    equal([one["sys_id"] for one in listed], [made["sys_id"]])
    content = client.session.get(listed[0]["download_link"])
    equal((content.status_code, content.content), (200, b"kept as it is\n\xc3\xa4"))
    files.delete(made["sys_id"])
    equal(incidents(client).attachments.get(sys_id=record["sys_id"]), [])


@check
def wrong_password_is_401() -> None:
    with refused(requests.exceptions.HTTPError, says="401"):
        incidents(connect(password="wrong")).get().all()


@check
def refused_by_access_is_403() -> None:
    reader = connect(READER, READER_PASSWORD).resource(api_path="/table/cmdb_ci_server")
    with refused(requests.exceptions.HTTPError, says="403"):
        reader.create({"name": "pysnow"}).one()


@check
def unknown_record_and_table() -> None:
    with refused(requests.exceptions.HTTPError, says="404"):
        incidents().request("GET", path_append="/" + "0" * 32).all()
    with refused(requests.exceptions.HTTPError, says="400"):
        connect().resource(api_path="/table/incidnet").get().all()


@check
def legacy_interface() -> None:
    client = connect()
    made = client.insert(table="incident", payload={"short_description": "pysnow legacy"})
    query = client.query(table="incident", query={"number": made["number"]})
    equal(query.get_one()["short_description"], "pysnow legacy")
    equal(query.update({"urgency": "1"})["urgency"], "1")
    equal([row["number"] for row in query.get_multiple()], [made["number"]])
    equal(query.delete()["success"], True)


@check
def oauth_password_grant_and_refresh() -> None:
    stored = {}

    def keep(token: dict[str, object]) -> None:
        stored.update(token)

    client = pysnow.OAuthClient(
        client_id=CLIENT_ID, client_secret=CLIENT_SECRET, token_updater=keep, host=HOST
    )
    token = client.generate_token(USER, PASSWORD)
    holds({"access_token", "refresh_token", "expires_in"} <= token.keys(), token)
    client.set_token(token)
    holds(incidents(client).get(limit=1).all())
    client.set_token({**token, "expires_at": 1.0})  # over: it asks for another one by itself
    holds(incidents(client).get(limit=1).all())
    equal(stored["token_type"], "Bearer")


@check
def oauth_wrong_password_is_told() -> None:
    client = pysnow.OAuthClient(client_id=CLIENT_ID, client_secret=CLIENT_SECRET, host=HOST)
    with refused(pysnow.exceptions.TokenCreateError, says="access_denied"):
        client.generate_token(USER, "wrong")


run("pysnow")
