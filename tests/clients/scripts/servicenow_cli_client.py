"""servicenow-cli: a compiled command line program; incidents by number, files, every table."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from checks import PASSWORD, READER, READER_PASSWORD, URL, USER, check, equal, holds, run

PROGRAM = Path(sys.executable).parent / "servicenow"
HOME = tempfile.mkdtemp()


def command(*words: str, user: str = USER, password: str = PASSWORD) -> tuple[int, Any]:
    """Run a command; return its status and what it printed, the error where it failed."""
    variables = {
        **os.environ,
        "HOME": HOME,
        "SERVICENOW_INSTANCE": URL,
        "SERVICENOW_USERNAME": user,
        "SERVICENOW_PASSWORD": password,
    }
    done = subprocess.run(
        [PROGRAM, "--output", "json", *words],
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    text = done.stdout if done.returncode == 0 else done.stderr.strip().splitlines()[-1]
    return done.returncode, json.loads(text) if text.strip() else None


def done(*words: str) -> Any:
    """Run a command that must work, and return what it printed."""
    status, printed = command(*words)
    equal((status, printed if status else ""), (0, ""))
    return printed.get("result", printed) if isinstance(printed, dict) else printed


def incident(text: str, *options: str) -> dict[str, Any]:
    made: dict[str, Any] = done("incidents", "create", "--short-description", text, *options)
    return made


def failed(status: int, error: Any) -> tuple[int, str]:
    return status, error["error"]["kind"]


EXAMPLE = """
# example
servicenow doctor
servicenow incidents create --short-description "From the command line" --urgency 1 --impact 1
servicenow incidents list --query ORDERBYDESCnumber --limit 5
# end of example
"""


@check
def documented_example() -> None:
    words = [shlex.split(line)[1:] for line in EXAMPLE.splitlines() if line[:1] == "s"]
    equal(len(words), 3)
    printed = [done(*line) for line in words]
    equal(printed[1]["short_description"], "From the command line")
    holds(printed[1]["number"] in [row["number"] for row in printed[2]], printed[2])


@check
def doctor_finds_everything_well() -> None:
    found = done("doctor")
    equal([one["name"] for one in found["checks"] if not one["ok"]], [])


@check
def create_with_impact_and_urgency() -> None:
    made = incident("servicenow-cli impact", "--impact", "1", "--urgency", "2")
    equal((made["impact"], made["urgency"], made["priority"]), ("1", "2", "2"))


@check
def list_with_query_limit_and_all_pages() -> None:
    for _ in range(4):
        incident("servicenow-cli page")
    query = "short_description=servicenow-cli page^ORDERBYDESCnumber"
    some = command("incidents", "list", "--query", query, "--limit", "3", "--fields", "number")[1]
    equal((some["count"], len(some["result"])), (3, 3))
    every = done("incidents", "list", "--query", query, "--all", "--fields", "number")
    numbers = [row["number"] for row in every]
    equal((len(numbers), numbers), (4, sorted(numbers, reverse=True)))


@check
def display_values() -> None:
    query = ("--query", f"number={incident('servicenow-cli display')['number']}")
    shown = done("tables", "list", "incident", *query, "--display-value", "true")
    equal(shown[0]["state"], "New")
    both = done("tables", "list", "incident", *query, "--display-value", "all")
    equal(both[0]["state"], {"display_value": "New", "value": "1"})


@check
def assign_note_and_resolve() -> None:
    number = incident("servicenow-cli work")["number"]
    done("incidents", "assign", number, "--to", "admin")
    mine = done("incidents", "mine")
    holds(number in [row["number"] for row in mine], mine)
    done("incidents", "note", number, "Investigating the gateway")
    journal = done("tables", "list", "sys_journal_field", "--query", "valueLIKEgateway")
    holds("Investigating the gateway" in [row["value"] for row in journal], journal)
    done(
        "incidents", "resolve", number, "--code", "Solution provided", "--notes", "Done",
    )  # fmt: skip
    row = done("tables", "list", "incident", "--query", f"number={number}")[0]
    equal((row["state"], row["close_code"], row["close_notes"]), ("6", "Solution provided", "Done"))


@check
def any_table_create_get_update_delete() -> None:
    made = done("tables", "create", "cmdb_ci_server", "--field", "name=servicenow-cli")
    sys_id = made["sys_id"]
    equal(done("tables", "get", "cmdb_ci_server", sys_id)["name"]["value"], "servicenow-cli")
    changed = done("tables", "update", "cmdb_ci_server", sys_id, "--field", "name=changed")
    equal(changed["name"], "changed")
    done("tables", "delete", "cmdb_ci_server", sys_id, "--yes")
    gone = command("tables", "get", "cmdb_ci_server", sys_id)
    equal(failed(*gone), (4, "not_found"))


@check
def schema_choices_and_resolving_a_user() -> None:
    fields = done("schema", "incident")
    holds("caller_id" in json.dumps(fields))
    labels = [one["label"] for one in done("choices", "incident", "category")]
    holds("Network" in labels, labels)
    user = done("resolve", "user", "admin@example.com")
    equal(user["sys_id"]["value"], "6816f79cc0a8016401c5a33be04be441")


@check
def attachments_up_list_down_delete() -> None:
    made = incident("servicenow-cli attachment")
    with tempfile.TemporaryDirectory() as folder:
        path, copy = Path(folder) / "notes.txt", Path(folder) / "copy.txt"
        path.write_bytes(b"kept as it is")
        attachment = done("attachments", "upload", "incident", made["sys_id"], str(path))
        listed = done("attachments", "list", "incident", made["sys_id"])
        equal([one["sys_id"] for one in listed], [attachment["sys_id"]])
        done("attachments", "download", attachment["sys_id"], str(copy))
        equal(copy.read_bytes(), b"kept as it is")
    done("attachments", "delete", attachment["sys_id"], "--yes")
    equal(done("attachments", "list", "incident", made["sys_id"]), [])


@check
def errors_are_told_apart() -> None:
    wrong = command("incidents", "list", password="wrong")
    equal(failed(*wrong), (3, "auth"))
    refused = command(
        "tables", "create", "cmdb_ci_server", "--field", "name=x",
        user=READER, password=READER_PASSWORD,
    )  # fmt: skip
    equal(failed(*refused), (3, "auth"))
    holds("Operation Failed" in refused[1]["error"]["message"], refused)
    unknown = command("tables", "get", "incident", "0" * 32)
    equal(failed(*unknown), (4, "not_found"))
    unknown = command("tables", "list", "incidnet")
    holds("Invalid table incidnet" in unknown[1]["error"]["message"], unknown)


run("servicenow-cli")
