"""PySNC: the vendor's own Python client; GlideRecord over REST, batches, joins, OAuth."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

from checks import (
    AUTHORITY,
    CLIENT_ID,
    CLIENT_SECRET,
    PASSWORD,
    PROXY,
    READER,
    READER_PASSWORD,
    URL,
    USER,
    VENDOR_URL,
    check,
    equal,
    holds,
    refused,
    run,
)
from pysnc import GlideRecord, ServiceNowClient
from pysnc.auth import ServiceNowClientCredentialsFlow, ServiceNowPasswordGrantFlow
from pysnc.exceptions import AuthenticationException, RequestException, RoleException

Login = tuple[str, str]
ADMIN = "6816f79cc0a8016401c5a33be04be441"


def connect(login: object = (USER, PASSWORD)) -> ServiceNowClient:
    return ServiceNowClient(URL, login, verify=AUTHORITY)


def incident(**values: str) -> GlideRecord:
    record = connect().GlideRecord("incident")
    record.initialize()
    for name, value in values.items():
        record.set_value(name, value)
    holds(record.insert())
    return record


def found(query: str, table: str = "incident", **options: int) -> GlideRecord:
    record = connect().GlideRecord(table, **options)
    record.add_encoded_query(query)
    record.query()
    return record


@check
def documented_example() -> None:
    # example
    client = ServiceNowClient(URL, (USER, PASSWORD), verify=AUTHORITY)  # URL: "https://..."
    users = client.GlideRecord("sys_user")
    users.add_query("user_name", "admin")
    users.query()
    names = [user.get_value("name") for user in users]
    # end of example
    equal(names, ["System Administrator"])


@check
def the_name_of_an_instance_through_a_proxy() -> None:
    client = ServiceNowClient("midspan", (USER, PASSWORD), proxy=PROXY, verify=AUTHORITY)
    equal(client.instance, VENDOR_URL)
    users = client.GlideRecord("sys_user")
    holds(users.get(ADMIN))
    equal(users.user_name, "admin")


@check
def insert_get_update_delete() -> None:
    record = incident(short_description="pysnc life", urgency="1", impact="1")
    equal((record.priority, record.get_display_value("state")), ("1", "New"))
    again = connect().GlideRecord("incident")
    holds(again.get(record.get_value("sys_id")))
    again.short_description = "pysnc changed"
    holds(again.update())
    equal((again.short_description, again.get_value("sys_mod_count")), ("pysnc changed", "1"))
    equal(again.delete(), True)
    equal(connect().GlideRecord("incident").get(record.get_value("sys_id")), False)


@check
def get_by_column() -> None:
    number = incident(short_description="pysnc column").get_value("number")
    record = connect().GlideRecord("incident")
    holds(record.get("number", number))
    equal(record.get_value("short_description"), "pysnc column")
    equal(connect().GlideRecord("incident").get("number", "INC9999999"), False)


@check
def a_sys_id_of_our_own_is_kept() -> None:
    record = connect().GlideRecord("incident")
    record.initialize()
    record.set_new_guid_value("a" * 31 + "c")
    equal(record.insert(), "a" * 31 + "c")
    record.delete()


@check
def references_with_display_value_and_link() -> None:
    record = incident(short_description="pysnc reference", caller_id=ADMIN)
    equal(record.get_value("caller_id"), ADMIN)
    equal(record.get_display_value("caller_id"), "System Administrator")
    plain = connect().GlideRecord("incident")
    plain.exclude_reference_link = False
    holds(plain.get(record.get_value("sys_id")))
    equal(plain.get_element("caller_id").get_link(), f"{URL}/api/now/table/sys_user/{ADMIN}")


@check
def joins() -> None:
    users = connect().GlideRecord("sys_user")
    calls = users.add_join_query("incident", join_table_field="caller_id")
    calls.add_query("short_description", "Incident 3")
    users.query()
    equal([user.get_value("user_name") for user in users], ["ada"])


@check
def related_lists() -> None:
    for count, called, name in ((">=1", "Incident 3", "ada"), ("=0", "", "reader")):
        users = connect().GlideRecord("sys_user")
        users.add_query("user_name", "IN", "ada,reader")
        calls = users.add_rl_query("incident", "caller_id", count)
        if called:
            calls.add_query("short_description", called)
        users.query()
        equal([user.get_value("user_name") for user in users], [name])


@check
def more_than_one_page() -> None:
    for place in range(7):
        incident(short_description="pysnc page", description=str(place))
    records = connect().GlideRecord("incident", batch_size=3)
    records.add_query("short_description", "pysnc page")
    records.order_by("description")
    records.query()
    equal(records.get_row_count(), 7)
    equal([record.get_value("description") for record in records], list("0123456"))
    records.rewind()
    equal(len(list(records)), 7)
    once = connect().GlideRecord("incident", batch_size=2, rewindable=False)
    once.add_query("short_description", "pysnc page")
    once.query()
    equal(len([1 for _ in once]), 7)
    limited = connect().GlideRecord("incident", batch_size=2)
    limited.add_query("short_description", "pysnc page")
    limited.limit = 4
    limited.query()
    equal(len(list(limited)), 4)


@check
def queries() -> None:
    one = incident(short_description="pysnc query 1", urgency="1", caller_id=ADMIN)
    two = incident(short_description="pysnc query 2", urgency="3")
    numbers = [one.get_value("number"), two.get_value("number")]
    records = connect().GlideRecord("incident")
    records.fields = ["number"]
    condition = records.add_query("number", numbers[0])
    condition.add_or_condition("number", numbers[1])
    records.order_by_desc("number")
    records.query()
    equal([record.get_value("number") for record in records], numbers[::-1])
    for name, operator, value, expected in (
        ("short_description", "CONTAINS", "QUERY", numbers),
        ("short_description", "STARTSWITH", "pysnc query", numbers),
        ("urgency", "<", "2", numbers[:1]),
        ("urgency", "IN", "1,2", numbers[:1]),
        ("caller_id.user_name", "=", "admin", numbers[:1]),
        ("caller_id", "=", "System Administrator", numbers[:1]),
        ("short_description", "ENDSWITH", "2", numbers[1:]),
    ):
        records = connect().GlideRecord("incident")
        records.add_query("short_description", "STARTSWITH", "pysnc query")
        records.add_query(name, operator, value)
        records.order_by("number")
        records.query()
        equal([record.get_value("number") for record in records], expected)
    empty = connect().GlideRecord("incident")
    empty.add_encoded_query("short_descriptionSTARTSWITHpysnc query")
    empty.add_encoded_query("short_descriptionSTARTSWITHpysnc query^caller_idISEMPTY")
    empty.query()
    equal([record.get_value("number") for record in empty], numbers[1:])


@check
def several_orders_and_dot_walked_fields() -> None:
    number = incident(short_description="pysnc walk", caller_id=ADMIN).get_value("number")
    records = connect().GlideRecord("incident")
    records.fields = "number,caller_id.name,caller_id.user_name"
    records.add_query("number", number)
    records.query()
    holds(records.next())
    equal(records.get_value("caller_id.name"), "System Administrator")
    equal(
        records.serialize(),
        {
            "sys_id": records.get_value("sys_id"),
            "number": number,
            "caller_id.name": "System Administrator",
            "caller_id.user_name": "admin",
        },
    )


@check
def a_query_longer_than_a_url_goes_through_a_batch() -> None:
    number = incident(short_description="pysnc long").get_value("number")
    others = ",".join(f"INC8{place:06d}" for place in range(1200))
    records = connect().GlideRecord("incident")
    records.add_query("number", "IN", f"{number},{others}")
    records.query()
    equal([record.get_value("number") for record in records], [number])


@check
def update_and_delete_many_in_a_batch() -> None:
    for _ in range(5):
        incident(short_description="pysnc batch")
    records = found("short_description=pysnc batch")
    for record in records:
        record.set_value("urgency", "1")
    equal(records.update_multiple(), True)
    again = found("short_description=pysnc batch^urgency=1")
    equal(again.get_row_count(), 5)
    equal(again.delete_multiple(), True)
    equal(found("short_description=pysnc batch").get_row_count(), 0)


@check
def a_failing_part_of_a_batch_is_told() -> None:
    incident(short_description="pysnc partly")
    record = found("short_description=pysnc partly")
    connect_record = found("short_description=pysnc partly")
    equal(record.delete_multiple(), True)
    holds(connect_record.next())
    statuses = []
    batch = connect().batch_api
    batch.delete(connect_record, lambda response: statuses.append(response.status_code))
    batch.get(
        connect_record, ADMIN, lambda response: statuses.append(response.json()["error"]["message"])
    )
    batch.execute()
    equal(statuses, [404, "No Record found"])


@check
def attachments_up_list_down_delete() -> None:
    record = incident(short_description="pysnc attachment")
    location = record.add_attachment("notes.txt", b"kept as it is", content_type="text/plain")
    holds(location.startswith(f"{URL}/api/now/v1/attachment/"), location)
    record.add_attachment("more.bin", io.BytesIO(b"\x00" * 100_000))
    attachments = record.get_attachments()
    equal(len(attachments), 2)
    with tempfile.TemporaryDirectory() as folder:
        for attachment in attachments:
            holds(attachment.get_link())
            attachment.write_to(folder)
        equal((Path(folder) / "notes.txt").read_bytes(), b"kept as it is")
        equal((Path(folder) / "more.bin").read_bytes(), b"\x00" * 100_000)
    for attachment in record.get_attachments():
        if attachment.file_name == "notes.txt":
            equal(attachment.as_temp_file().read(), b"kept as it is")
            equal(list(attachment.readlines()), ["kept as it is"])
        attachment.delete()
    equal(len(record.get_attachments()), 0)


@check
def wrong_password_is_an_authentication_error() -> None:
    records = connect((USER, "wrong")).GlideRecord("incident")
    with refused(AuthenticationException, says="User Not Authenticated"):
        records.query()


@check
def refused_by_access_is_a_role_error() -> None:
    record = connect((READER, READER_PASSWORD)).GlideRecord("cmdb_ci_server")
    record.initialize()
    record.set_value("name", "pysnc")
    with refused(RoleException, says="error"):
        record.insert()


@check
def unknown_table_is_a_request_error() -> None:
    with refused(RequestException, says="Invalid table incidnet"):
        connect().GlideRecord("incidnet").query()


@check
def unknown_column_is_passed_over() -> None:
    record = incident(short_description="pysnc unknown", no_such_column="x")
    equal(record.get_value("no_such_column"), None)
    number = record.get_value("number")
    equal(found(f"number={number}^no_such_column=1").get_row_count(), 1)


@check
def oauth_password_grant_and_refresh() -> None:
    flow = ServiceNowPasswordGrantFlow(USER, PASSWORD, CLIENT_ID, CLIENT_SECRET)
    client = connect(flow)
    users = client.GlideRecord("sys_user")
    holds(users.get(ADMIN))
    client.session.refresh_token(
        client.session.auto_refresh_url, **client.session.auto_refresh_kwargs
    )
    holds(client.GlideRecord("sys_user").get(ADMIN))
    holds(client.session.token["refresh_token"])


@check
def oauth_client_credentials() -> None:
    client = connect(ServiceNowClientCredentialsFlow(CLIENT_ID, CLIENT_SECRET))
    holds(client.GlideRecord("sys_user").get(ADMIN))
    with refused(AuthenticationException, says="401"):
        connect(ServiceNowClientCredentialsFlow(CLIENT_ID, "wrong"))


run("pysnc")
