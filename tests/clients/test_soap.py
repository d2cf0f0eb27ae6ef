"""SOAP clients of six stacks against a live `midspan serve`: five tables each, by their WSDLs."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from midspan.demo.processes import Process

from .install import FOLDER, is_installed
from .instance import PASSWORD

SCRIPTS = Path(__file__).parent / "soap"
SECONDS = 600
"""Guards against hanging only."""
ADA = "Ada Lovelace"
VALUE = 'Grüße & <b> "漢字" 5 > 3'
TABLES = {
    # table: (text field, reference, its display value, a field that stays empty)
    "incident": ("short_description", "caller_id", ADA, "close_notes"),
    "problem": ("short_description", "assigned_to", ADA, "close_notes"),
    "cmn_location": ("street", "company", "Engines", "city"),
    "cmdb_ci_server": ("short_description", "managed_by", ADA, "comments"),
    "sys_user_group": ("description", "manager", ADA, "email"),
}
CASES = [
    {"table": table, "field": field, "reference": reference, "shown": shown, "empty": empty,
     "value": VALUE, "second": "Two\nlines"}
    for table, (field, reference, shown, empty) in TABLES.items()
]  # fmt: skip
PYTHON = str(FOLDER / "python" / "bin" / "python")
CLIENTS = {
    "zeep_client.py": [PYTHON],
    "suds_client.py": [PYTHON],
    "soap_lite_client.pl": ["perl"],
    "node_soap_client.cjs": ["node"],
    "php_client.php": ["php"],
}
READ_ONCE = "php_client.php"

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        not is_installed() and not os.environ.get("CI"),
        reason="needs the clients: make clients, or make test-system",
    ),
]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Serve an instance; yield the variables that the clients need."""
    assert is_installed(), "make clients"
    folder = tmp_path_factory.mktemp("soap")
    given = {"MIDSPAN_ADMIN_PASSWORD": PASSWORD}
    process = Process("midspan", ["serve", "--ephemeral", "--port", "0"], folder / "log", given)
    try:
        url = process.ready()["url"]
        make(url, "sys_user", user_name="ada", first_name="Ada", last_name="Lovelace")
        make(url, "core_company", name="Engines")
        yield {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(folder),
            "NODE_PATH": str(FOLDER / "node" / "node_modules"),
            "CLIENT_URL": url,
            "CLIENT_USER": "admin",
            "CLIENT_PASSWORD": PASSWORD,
            "SOAP_CASES": json.dumps(CASES),
        }
    finally:
        process.stop()


@pytest.fixture(scope="module")
def compiled(served: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the program that gSOAP and a C compiler make of the WSDLs."""
    folder = tmp_path_factory.mktemp("gsoap")
    save_wsdls(served, folder)
    wsdls = [f"{table}..wsdl" for table in TABLES]
    said = done(["wsdl2h", "-c", "-o", "all.h", *wsdls], folder)
    said += done(["soapcpp2", "-c", "-C", "-L", "-x", "all.h"], folder)
    assert not re.search("warning|error", said, re.IGNORECASE), said
    (folder / "cases.h").write_text("".join(map(c_case, range(1, len(CASES) + 1), CASES)))
    sources = [str(SCRIPTS / "gsoap_client.c"), "soapC.c", "soapClient.c"]
    done(["gcc", "-O0", "-w", "-I.", *sources, "-lgsoap", "-o", "client"], folder)
    return folder / "client"


@pytest.mark.parametrize("script", CLIENTS)
def test_a_client_does_everything_by_the_wsdl(script: str, served: dict[str, str]) -> None:
    check(run([*CLIENTS[script], str(SCRIPTS / script)], served), served)


def test_a_compiled_client_does_everything_by_the_wsdl(
    compiled: Path, served: dict[str, str]
) -> None:
    check(run([str(compiled)], served), served, both=False)


def test_clients_made_before_a_column_was_added_keep_working(
    compiled: Path, served: dict[str, str], tmp_path: Path
) -> None:
    """The new column lies amid the others, in the schema as in the answers."""
    save_wsdls(served, tmp_path)
    for table in TABLES:
        values = {"name": table, "element": "u_added", "internal_type": "string"}
        make(served["CLIENT_URL"], "sys_dictionary", **values, default_value="new")
    assert 'name="u_added"' in wsdl(served, "incident")
    check(run([str(compiled)], served), served, both=False)
    remembered = {**served, "SOAP_WSDLS": str(tmp_path)}
    script = str(SCRIPTS / READ_ONCE)
    check(run([*CLIENTS[READ_ONCE], script], remembered), served)


def test_a_client_with_cookies_fetches_a_long_call(served: dict[str, str]) -> None:
    url = served["CLIENT_URL"]
    script = "gs.sleep(+request.millis); var made = new GlideRecord('cmn_building');"
    script += " made.name = 'Slow ' + request.millis; response.text = made.insert();"
    service = make(url, "sys_web_service", name="ClientSlow", script=script)
    make(url, "sys_web_service_input", web_service=service, name="millis")
    make(url, "sys_web_service_output", web_service=service, name="text")
    make(url, "sys_properties", name="glide.soap.request_processing_timeout", value="5")
    said = run([PYTHON, str(SCRIPTS / "zeep_session.py")], served)
    address = f"{url}/api/now/table/cmn_building?sysparm_query=name=Slow 6000"
    (made,) = httpx.get(address, auth=("admin", PASSWORD), timeout=60).json()["result"]
    assert said == {
        "stays": True,
        "quick": [200, 200, 200],
        "slow": [307, 200],
        "text": made["sys_id"],
        "cookies": ["JSESSIONID"],
    }


def test_a_client_calls_a_scripted_service_with_a_token(served: dict[str, str]) -> None:
    url = served["CLIENT_URL"]
    script = "if (request.who == 'nobody') throw 'Nobody is there'; response.times = request.times;"
    script += " response.text = 'Hello ' + request.who;"
    values = {"name": "ClientGreeting", "script": script, "wsdl_compliance": "true"}
    service = make(url, "sys_web_service", **values)
    for kind, names in (("input", ("who", "times")), ("output", ("text", "times"))):
        for name in names:
            make(url, f"sys_web_service_{kind}", web_service=service, name=name)
    make(url, "sys_properties", name="glide.soap.require_ws_security", value="true")
    said = run([PYTHON, str(SCRIPTS / "zeep_scripted.py")], served)
    assert said == {
        "text": "Hello Grüße & <b>",
        "times": "2",
        "thrown": "Nobody is there",
        "wrong": "WS-Security: failed to authenticate",
    }


def check(said: dict[str, Any], served: dict[str, str], *, both: bool = True) -> None:
    """Compare what a client found with what was sent."""
    assert said["warnings"] == []
    assert set(said["found"]) == set(TABLES)
    for case in CASES:
        found = said["found"][case["table"]]
        got, reference, empty = found["got"]
        assert (got, empty) == (VALUE, ""), case["table"]
        assert re.fullmatch("[0-9a-f]{32}", reference)
        assert found["shown"] == case["shown"]
        if both:
            assert found["both"] == case["shown"]
        assert found["records"] == [True]
        assert found["keys"] == [True, 1]
        assert found["updated"] == case["second"]
        assert found["counted"] == 1
        assert found["fault"]["text"] == "No Record found"
        assert found["fault"]["code"].endswith("Client")
        assert (found["deleted"], found["gone"]) == (1, True)


def run(command: list[str], variables: dict[str, str]) -> dict[str, Any]:
    said = subprocess.run(
        command, env=variables, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert said.stdout.endswith("}"), said.stdout + said.stderr
    found: dict[str, Any] = json.loads(said.stdout)
    return found


def done(command: list[str], folder: Path) -> str:
    """Run a program that has to succeed; return all it said."""
    said = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert said.returncode == 0, said.stdout + said.stderr
    return said.stdout + said.stderr


def make(url: str, table: str, **values: str) -> str:
    """Insert a record; return its id."""
    answer = httpx.post(
        f"{url}/api/now/table/{table}", json=values, auth=("admin", PASSWORD), timeout=60
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["result"]["sys_id"])


def wsdl(served: dict[str, str], table: str, words: str = "") -> str:
    address = f"{served['CLIENT_URL']}/{table}.do?{words}WSDL"
    answer = httpx.get(address, auth=("admin", PASSWORD), timeout=60)
    assert answer.headers["content-type"].startswith("text/xml"), answer.text
    return answer.text


def save_wsdls(served: dict[str, str], folder: Path) -> None:
    for table in TABLES:
        for words in ("", "displayvalue=true&", "displayvalue=all&"):
            (folder / f"{table}.{words}.wsdl").write_text(wsdl(served, table, words))


def c_case(place: int, case: dict[str, str]) -> str:
    """Return a line of cases.h; what gSOAP makes of a name has no underscores."""
    fields = (case[key].replace("_", "_USCORE") for key in ("field", "reference", "empty"))
    texts = (json.dumps(case[key], ensure_ascii=False) for key in ("value", "second", "shown"))
    return f'CASE(ns{place}, "{case["table"]}", {", ".join((*fields, *texts))})\n'
