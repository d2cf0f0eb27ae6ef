"""Ansible: the collection servicenow.servicenow; records, searches, and an inventory of servers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from checks import HOST, PASSWORD, USER, check, equal, holds, run

BIN = Path(sys.executable).parent
HERE = Path(__file__).parent
FOLDER = Path(tempfile.mkdtemp())
RESULTS: dict[str, Any] = {}
VARIABLES = {
    **os.environ,
    "HOME": str(FOLDER),
    "ANSIBLE_COLLECTIONS_PATH": os.environ["CLIENT_COLLECTIONS"],
    "ANSIBLE_LOCALHOST_WARNING": "false",
    "ANSIBLE_INVENTORY_ENABLED": "servicenow.servicenow.now,ansible.builtin.auto",
    "SN_HOST": HOST,
    "SN_USERNAME": USER,
    "SN_PASSWORD": PASSWORD,
}


def ansible(program: str, *words: str) -> str:
    done = subprocess.run(
        [BIN / program, *words], env=VARIABLES, cwd=FOLDER, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise AssertionError(done.stdout + done.stderr)
    return done.stdout


def collection_version() -> str:
    folder = Path(VARIABLES["ANSIBLE_COLLECTIONS_PATH"]) / "ansible_collections" / "servicenow"
    manifest = json.loads((folder / "servicenow" / "MANIFEST.json").read_text())
    return str(manifest["collection_info"]["version"])


@check
def playbook() -> None:
    (FOLDER / "notes.txt").write_text("kept as it is\n")
    ansible(
        "ansible-playbook",
        str(HERE / "ansible_client.yml"),
        "--extra-vars",
        json.dumps({"ansible_python_interpreter": sys.executable, "folder": str(FOLDER)}),
    )
    RESULTS.update(json.loads((FOLDER / "results.json").read_text()))


@check
def create_update_and_check_mode() -> None:
    created, updated = RESULTS["created"], RESULTS["updated"]
    equal((created["changed"], created["record"]["short_description"]), (True, "Ansible opens"))
    equal((updated["record"]["state"], updated["record"]["sys_mod_count"]), ("2", "1"))
    equal(RESULTS["would_change"]["record"]["state"], "6")
    equal(RESULTS["read"]["record"]["state"], "2")


@check
def a_file_is_attached() -> None:
    files = RESULTS["attached"]["record"]
    equal([(file["file_name"], file["size_bytes"]) for file in files], [("notes.txt", "14")])


@check
def several_are_found_with_operators_and_chosen_fields() -> None:
    found = RESULTS["found"]["record"]
    equal([set(row) for row in found], [{"number", "state"}] * 2)
    equal([row["state"] for row in RESULTS["found_displayed"]["record"]], ["New"])


@check
def deleted_and_deleted_again() -> None:
    equal(RESULTS["deleted"]["record"], {"status": "record deleted"})
    equal(RESULTS["deleted_again"]["record"], {"Success": True})


@check
def oauth_instead_of_a_password_in_each_request() -> None:
    equal(RESULTS["by_oauth"]["record"]["user_name"], "admin")


@check
def a_wrong_password_fails_with_401() -> None:
    holds("401" in RESULTS["refused"]["msg"], RESULTS["refused"])


@check
def an_inventory_of_more_than_one_page() -> None:
    inventory = FOLDER / "now.yml"
    inventory.write_text(
        f"plugin: servicenow.servicenow.now\nhost: {HOST}\ntable: cmdb_ci_linux_server\n"
        "fields: [name, ip_address, sys_class_name]\nselection_order: [name]\n"
        "filter_results: 'nameSTARTSWITHansible^ORDERBYname&sysparm_limit=2'\n"
        "keyed_groups:\n  - {key: sn_sys_class_name | lower, prefix: '', separator: ''}\n"
        f"username: {USER}\npassword: {PASSWORD}\n"
    )
    listed = json.loads(ansible("ansible-inventory", "-i", str(inventory), "--list"))
    hosts = listed["_meta"]["hostvars"]
    equal(sorted(hosts), ["ansible-a", "ansible-b", "ansible-c"])
    equal(hosts["ansible-b"]["sn_ip_address"], "10.9.0.2")
    equal(len(listed["linux_server"]["hosts"]), 3)


run("ansible-core", collection_version())
