"""snowloader: loads tables for search and language models; checks that a sweep lost no row.

Its own tests against a live instance are run besides; see test_clients.py.
"""

from __future__ import annotations

from checks import (
    AUTHORITY,
    CLIENT_ID,
    CLIENT_SECRET,
    PASSWORD,
    PROXY,
    USER,
    VENDOR_URL,
    check,
    equal,
    holds,
    refused,
    run,
)
from snowloader import AttachmentLoader, IncidentLoader, SnowConnection, SnowConnectionError


def connect(**options: object) -> SnowConnection:
    given = {"username": USER, "password": PASSWORD, "proxy": PROXY, "verify": AUTHORITY}
    return SnowConnection(instance_url=VENDOR_URL, **{**given, **options})


@check
def documented_example() -> None:
    # example
    connection = SnowConnection(
        instance_url=VENDOR_URL,  # "https://NAME.service-now.com": it refuses bare addresses
        username=USER,
        password=PASSWORD,
        proxy=PROXY,
        verify=AUTHORITY,
    )
    texts = [document.page_content for document in IncidentLoader(connection).load(limit=3)]
    # end of example
    holds(texts and texts[0].startswith("Incident: INC"), texts)


@check
def count_and_sweep_by_pages_agree() -> None:
    connection = connect(page_size=3)
    ids = [row["sys_id"] for row in connection.get_records("sys_user_role", fields=["sys_id"])]
    equal((len(ids), len(set(ids))), (connection.get_count("sys_user_role"),) * 2)
    keyset = connection.get_records("sys_user_role", fields=["sys_id"], keyset=True, verify=True)
    equal({row["sys_id"] for row in keyset}, set(ids))


@check
def attachments_as_documents() -> None:
    documents = AttachmentLoader(connect()).load(limit=1)
    holds(documents and documents[0].metadata["sys_id"], documents)


@check
def oauth_password_and_client_credentials() -> None:
    client = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    holds(list(connect(**client).get_records("sys_user", query="user_name=admin")))
    nobody = {"username": None, "password": None}
    holds(list(connect(**client, **nobody).get_records("sys_user", query="user_name=admin")))


@check
def errors() -> None:
    with refused(SnowConnectionError, says="401"):
        list(connect(password="wrong", max_retries=0).get_records("incident"))
    with refused(SnowConnectionError, says="400"):
        list(connect(max_retries=0).get_records("incidnet"))


run("snowloader")
