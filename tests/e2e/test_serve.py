"""``midspan serve`` from outside: the ready line, the end, the refusals."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from tests.guard import GUARD

Start = Callable[..., Any]
ANYWHERE = "0.0.0.0"  # noqa: S104 - what the test is about
SECRET = {"MIDSPAN_ADMIN_PASSWORD": "first password"}
MORE_THAN_SOCKETS_HOLD = 16 * 1024 * 1024
"""Bytes; once they are sent, the instance is known to read the body."""
LINK = re.compile(r"^(http://\S+)(/setup\?token=\S+)$", re.MULTILINE)


def signs_in(url: str, password: str) -> bool:
    answer = httpx.get(f"{url}/api/midspan/v1/tables", auth=("admin", password), timeout=GUARD)
    assert answer.status_code in (200, 401)
    return answer.status_code == 200


@pytest.mark.parametrize("server", ["granian", "uvicorn"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_ready_line_then_an_orderly_end(start: Start, server: str, number: int) -> None:
    node = start("--ephemeral", "--port", "0", "--server", server, **SECRET)
    ready = node.ready()
    assert sorted(ready) == ["pid", "url", "version"]
    assert ready["pid"] == node.process.pid
    assert httpx.get(f"{ready['url']}/healthz", timeout=GUARD).json() == {"status": "alive"}
    assert signs_in(ready["url"], "first password")
    assert node.stop(number) == 0
    assert node.process.stdout.read() == b""
    lines = [json.loads(line) for line in node.errors.read_text().splitlines()]
    assert lines[-1]["message"] == "stopped"


def test_a_taken_port_has_a_status_of_its_own(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        node = start("--ephemeral", "--port", str(port))
        assert node.process.wait(GUARD) == 98
    assert f"listens on 127.0.0.1:{port}" in node.errors.read_text()
    assert "--port" in node.errors.read_text()


def test_the_set_up_link_gives_admin_a_password(start: Start, tmp_path: Path) -> None:
    node = start("--data", str(tmp_path / "data"), "--port", "0")
    url = node.ready()["url"]
    link = LINK.search(node.errors.read_text())
    assert link is not None
    assert link[1] == url
    token = link[2].partition("=")[2]
    with httpx.Client(base_url=url, timeout=GUARD) as browser:
        assert browser.get(link[2]).status_code == 200
        form = {"token": token, "password": "chosen password", "again": "chosen password"}
        assert browser.post("/setup", data=form).status_code == 303
        assert browser.get(link[2]).status_code == 403, "it works once"
    assert signs_in(url, "chosen password")
    assert node.stop() == 0


def test_the_environment_sets_the_password_at_the_first_start_only(
    start: Start, tmp_path: Path
) -> None:
    data = str(tmp_path / "data")
    first = start("--data", data, "--port", "0", **SECRET)
    url = first.ready()["url"]
    assert signs_in(url, "first password")
    assert not LINK.search(first.errors.read_text())
    assert first.stop() == 0
    again = start("--data", data, "--port", "0", MIDSPAN_ADMIN_PASSWORD="second password")
    url = again.ready()["url"]
    assert signs_in(url, "first password")
    assert not signs_in(url, "second password")
    assert not LINK.search(again.errors.read_text())


def test_a_password_that_is_too_short_is_refused(start: Start) -> None:
    node = start("--ephemeral", "--port", "0", MIDSPAN_ADMIN_PASSWORD="short")
    assert node.process.wait(GUARD) == 3
    assert "MIDSPAN_ADMIN_PASSWORD" in node.errors.read_text()


def test_one_process_for_each_data_directory(start: Start, tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    first = start("--data", data, "--port", "0", **SECRET)
    first.ready()
    second = start("--data", data, "--port", "0")
    assert second.process.wait(GUARD) == 3
    assert f"Process {first.process.pid} uses {data}" in second.errors.read_text()
    assert first.stop(signal.SIGKILL) == -signal.SIGKILL
    third = start("--data", data, "--port", "0")
    assert signs_in(third.ready()["url"], "first password")


def test_passwords_do_not_travel_in_the_clear(start: Start) -> None:
    node = start("--ephemeral", "--port", "0", "--host", ANYWHERE)
    assert node.process.wait(GUARD) == 3
    assert "--behind-proxy" in node.errors.read_text()
    assert "--tls-cert" in node.errors.read_text()
    trusted = start("--ephemeral", "--port", "0", "--host", ANYWHERE, "--behind-proxy", **SECRET)
    assert trusted.ready()["url"].startswith("http://localhost:")


def test_tls(start: Start, tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    options = ["--tls-cert", str(certificate), "--tls-key", str(key), "--host", ANYWHERE]
    node = start("--ephemeral", "--port", "0", *options, **SECRET)
    url = node.ready()["url"]
    assert url.startswith("https://localhost:")
    trust = ssl.create_default_context(cafile=certificate)
    answer = httpx.get(
        f"{url}/api/midspan/v1/tables",
        auth=("admin", "first password"),
        verify=trust,
        timeout=GUARD,
    )
    assert answer.status_code == 200
    assert answer.headers["strict-transport-security"]
    assert "Secure" in answer.headers["set-cookie"]


@pytest.mark.parametrize("server", ["granian", "uvicorn"])
def test_a_request_that_runs_is_finished(start: Start, tmp_path: Path, server: str) -> None:
    """The import is under way when the signal comes; its answer arrives, and all rows are there."""
    data = str(tmp_path / "data")
    node = start("--data", data, "--port", "0", "--server", server, **SECRET)
    url = node.ready()["url"]
    admin = ("admin", "first password")
    app = {
        "app.yaml": "name: load\nlabel: Load\nversion: 0.1.0\n",
        "imports/people.yaml": (
            "source: {name: load, type: File, format: CSV}\nstaging: u_load\n"
            "columns: [u_name]\nmap:\n  name: load\n  target: cmn_department\n"
            "  fields:\n    - {source: u_name, target: name, coalesce: true}\n"
        ),
    }
    httpx.post(
        f"{url}/api/midspan/v1/apply", json={"files": app}, auth=admin, timeout=GUARD
    ).raise_for_status()
    begun, go_on = threading.Event(), threading.Event()

    def body() -> Any:
        yield b"name\n" + b"x" * MORE_THAN_SOCKETS_HOLD + b"\n"
        begun.set()
        assert go_on.wait(GUARD)
        yield b"".join(b"department %d\n" % number for number in range(2000))

    answers: list[httpx.Response] = []
    sending = threading.Thread(
        target=lambda: answers.append(
            httpx.post(
                f"{url}/api/midspan/v1/import/load", content=body(), auth=admin, timeout=GUARD
            )
        )
    )
    sending.start()
    assert begun.wait(GUARD)
    node.process.send_signal(signal.SIGTERM)
    go_on.set()
    sending.join(GUARD)
    assert node.process.wait(GUARD) == 0
    assert answers[0].status_code == 200, answers[0].text
    assert answers[0].json()["result"]["runs"][0]["totals"]["inserts"] == 2000


def test_wrong_usage() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "midspan", "serve", "--ephemeral", "--data", "/nowhere"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 3
    assert "exclude each other" in run.stderr


def test_alive_and_ready_are_two_things(
    start: Start, tmp_path: Path, postgres_url: str, postgres_database: str
) -> None:
    """Without its database a node still lives, and says that it cannot work; then it can again."""
    node = start("--data", str(tmp_path), "--database", postgres_database, "--port", "0", **SECRET)
    url = node.ready()["url"]
    assert httpx.get(f"{url}/healthz", timeout=GUARD).status_code == 200
    ready = httpx.get(f"{url}/readyz", timeout=GUARD)
    assert (ready.status_code, ready.json()) == (200, {"status": "ready"})
    name = urlsplit(postgres_database).path[1:]
    with psycopg.connect(postgres_url, autocommit=True) as server:
        server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
        )
        unready = httpx.get(f"{url}/readyz", timeout=GUARD)
        assert unready.status_code == 503
        assert unready.headers["retry-after"] == "1"
        assert unready.json()["status"] == "not ready"
        assert httpx.get(f"{url}/healthz", timeout=GUARD).json() == {"status": "alive"}
        server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    deadline = time.monotonic() + GUARD
    while httpx.get(f"{url}/readyz", timeout=GUARD).status_code != 200:
        assert time.monotonic() < deadline
    assert signs_in(url, "first password")


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_no_secret_reaches_the_log(
    start: Start, tmp_path: Path, kind: str, postgres_database: str
) -> None:
    """At level debug, however a secret comes in; each line is JSON and names its request."""
    secrets = {
        "admin": "admin-Passw0rd", "wrong": "wrong-Passw0rd", "new": "new-Passw0rd",
        "credential": "erp-Passw0rd", "database": "database-Passw0rd", "key": "K" * 43 + "=",
        "query": "query-Passw0rd",
    }  # fmt: skip
    options = ["--data", str(tmp_path)]
    if kind == "postgresql":
        parts = urlsplit(postgres_database)
        assert not parts.password, "the tests' server asks for none, so any will do"
        place = f"{parts.username}:{secrets['database']}@{parts.netloc.rpartition('@')[2]}"
        options += ["--database", parts._replace(netloc=place).geturl()]
    node = start(
        *options, "--port", "0", "--log-level", "debug",
        MIDSPAN_ADMIN_PASSWORD=secrets["admin"], MIDSPAN_MASTER_KEY=secrets["key"],
    )  # fmt: skip
    url = node.ready()["url"]
    admin = ("admin", secrets["admin"])
    seen = set(secrets.values())
    with httpx.Client(base_url=url, timeout=GUARD) as client:
        wrong = client.get("/api/now/table/incident", auth=("admin", secrets["wrong"]))
        assert wrong.status_code == 401
        form = {"user_name": "admin", "user_password": secrets["wrong"]}
        assert client.post("/login", data=form).status_code == 401
        signed = client.post("/login", data={**form, "user_password": secrets["admin"]})
        assert signed.status_code == 303
        seen.add(signed.cookies["JSESSIONID"])
        client.cookies.clear()
        values = {"name": "erp", "user_name": "erp", "password": secrets["credential"]}
        table = "/api/now/table/basic_auth_credentials"
        assert client.post(table, json=values, auth=admin).status_code == 201
        assert client.post(table, content=f'{{"password": "{secrets["credential"]}"', auth=admin)
        asked = client.get(f"/api/now/table/no_such_table?password={secrets['query']}", auth=admin)
        assert asked.status_code == 400
        user = {"user_name": "bob", "password": secrets["new"]}
        assert client.post("/api/midspan/v1/users", json=user, auth=admin).status_code == 201
        short = {"user_name": "eve", "password": "sh0rt-1"}
        assert client.post("/api/midspan/v1/users", json=short, auth=admin).status_code == 400
        token = client.post("/api/midspan/v1/tokens", json={"purpose": "setup"}, auth=admin)
        seen |= {"sh0rt-1", token.json()["result"]["url"].partition("token=")[2]}
    assert node.stop() == 0
    text = node.errors.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    refused = [line for line in lines if line["message"] == "refused"]
    assert asked.headers["x-transaction-id"] in {line["request_id"] for line in refused}
    pairs = {base64.b64encode(f"admin:{each}".encode()).decode() for each in seen}
    assert [each for each in seen | pairs if each in text] == []


def test_the_seed_is_in_before_the_ready_line(start: Start, tmp_path: Path) -> None:
    people, tickets = tmp_path / "people.yaml", tmp_path / "tickets.yaml"
    people.write_text(
        "users:\n  abel:\n    roles: [itil]\n    password: {env: ABEL_PASSWORD}\n"
        "columns:\n  incident:\n    u_ticket: {}\n"
    )
    tickets.write_text(
        "records:\n  incident:\n    - {key: a, u_ticket: T-1, caller_id: ref:sys_user/abel}\n"
    )
    data = str(tmp_path / "data")
    options = ["--data", data, "--port", "0", "--seed", str(people), "--seed", str(tickets)]
    refused = start(*options, **SECRET)
    assert refused.process.wait(GUARD) == 3
    assert f"{people}:4: the variable ABEL_PASSWORD is not set" in refused.errors.read_text()
    abel = {"ABEL_PASSWORD": "password of abel"}
    for _ in range(2):  # at the second start the seed is in already
        node = start(*options, **abel, **SECRET)
        url = node.ready()["url"]
        found = httpx.get(
            f"{url}/api/now/table/incident?sysparm_fields=u_ticket,number",
            auth=("abel", abel["ABEL_PASSWORD"]),
            timeout=GUARD,
        )
        assert found.json() == {"result": [{"u_ticket": "T-1", "number": "INC0010001"}]}
        assert signs_in(url, "first password")
        assert node.stop() == 0


@pytest.mark.parametrize("server", ["granian", "uvicorn"])
def test_tls_with_a_ca_of_its_own(start: Start, tmp_path: Path, server: str) -> None:
    def command(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        clean = {name: text for name, text in os.environ.items() if not name.startswith("MIDSPAN_")}
        variables = {**clean, "MIDSPAN_PASSWORD": "first password", **more}
        program = [sys.executable, "-m", "midspan", *arguments]
        return subprocess.run(
            program, capture_output=True, text=True, check=False, env=variables, timeout=GUARD
        )

    data = str(tmp_path / "data")
    options = ["--data", data, "--port", "0", "--server", server]
    node = start(*options, "--tls", "--tls-name", "dev1.example.com", **SECRET)
    ready = node.ready()
    url, ca = ready["url"], ready["ca"]
    assert url.startswith("https://127.0.0.1:")
    trust = ssl.create_default_context(cafile=ca)
    answer = httpx.get(
        f"{url}/api/midspan/v1/tables",
        auth=("admin", "first password"),
        verify=trust,
        timeout=GUARD,
    )
    assert answer.status_code == 200
    assert "Secure" in answer.headers["set-cookie"]
    for name in ("localhost", "dev1.example.com"):
        with (
            socket.create_connection(("127.0.0.1", urlsplit(url).port or 0), GUARD) as plain,
            trust.wrap_socket(plain, server_hostname=name) as wrapped,
        ):
            assert wrapped.version() == "TLSv1.3"
    printed = command("ca", "--data", data)
    assert printed.stdout == Path(ca).read_text()
    assert json.loads(command("ca", "--data", data, "--json").stdout)["file"] == ca
    assert command("--ca", ca, "tables", "--url", url).returncode == 0
    assert command("tables", "--url", url, MIDSPAN_CA=ca).returncode == 0
    distrusted = command("tables", "--url", url)
    assert distrusted.returncode == 4
    assert "is not trusted" in distrusted.stderr
    assert "--ca FILE" in distrusted.stderr
    wrong = command("--ca", node.errors.as_posix(), "tables", "--url", url)
    assert wrong.returncode == 3
    assert "holds no CA certificate" in wrong.stderr
    assert node.stop() == 0
    other = start(*options, "--tls", "--tls-name", "dev2.example.com")
    assert other.process.wait(GUARD) == 3
    assert "made without dev2.example.com" in other.errors.read_text()


def test_tls_options_that_do_not_go_together(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "x.pem"
    file.touch()
    both = ("--tls", "--tls-cert", str(file), "--tls-key", str(file))
    for options, said in ((both, "give only one"), (("--tls-name", "x"), "of --tls")):
        node = start("--ephemeral", "--port", "0", *options)
        assert node.process.wait(GUARD) == 2
        assert said in " ".join(node.errors.read_text().replace("│", " ").split())
