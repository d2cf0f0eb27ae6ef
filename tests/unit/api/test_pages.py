"""Pages for people: login, set-up, start page, records, health."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import httpx
import pytest

from midspan.api.login import local_path
from midspan.api.setup import setup_needed, setup_path
from midspan.kernel.errors import Unavailable
from midspan.records import delete, insert
from midspan.security import SYSTEM
from midspan_sdk.version import __version__

USER = "a" * 32
PASSWORD = "correct horse"
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def signed_in(site: Any, user: str = "ann") -> dict[str, str]:
    answer = site.send(
        "POST", "/login", data={"user_name": user, "user_password": PASSWORD, "to": "/nav/incident"}
    )
    assert answer.status_code == 303, answer.text
    assert answer.headers["location"] == "/nav/incident"
    return {"Cookie": answer.headers["set-cookie"].partition(";")[0], **BROWSER}


def hidden(answer: httpx.Response, name: str) -> str:
    found = re.search(f'name="{name}" value="([^"]*)"', answer.text)
    assert found is not None, answer.text
    return found[1]


def test_a_browser_is_sent_to_the_form_and_a_program_is_challenged(site: Any) -> None:
    sent = site.send("GET", "/nav/incident?x=1", headers=BROWSER)
    assert sent.status_code == 303
    assert sent.headers["location"] == "/login?to=%2Fnav%2Fincident%3Fx%3D1"
    challenged = site.send("GET", "/")
    assert challenged.status_code == 401
    assert challenged.headers["www-authenticate"] == 'BASIC realm="Service-now"'


def test_login_and_logout(site: Any) -> None:
    headers = signed_in(site)
    home = site.send("GET", "/", headers=headers)
    assert "&lt;Ann&gt;" in home.text
    left = site.send(
        "POST", "/logout", headers=headers, data={"sysparm_ck": hidden(home, "sysparm_ck")}
    )
    assert left.status_code == 303
    assert site.send("GET", "/", headers=headers).status_code == 303


def test_logout_without_the_token_keeps_the_session(site: Any) -> None:
    headers = signed_in(site)
    assert site.send("POST", "/logout", headers=headers).status_code == 401
    assert site.send("GET", "/", headers=headers).status_code == 200


def test_a_wrong_password_shows_the_form_again(site: Any) -> None:
    answer = site.send("POST", "/login", data={"user_name": "ann", "user_password": "x"})
    assert answer.status_code == 401
    assert "User name or password is wrong" in answer.text
    assert "set-cookie" not in answer.headers


def test_a_form_of_another_site_is_refused(site: Any) -> None:
    answer = site.send(
        "POST",
        "/login",
        data={"user_name": "ann", "user_password": PASSWORD},
        headers={"Sec-Fetch-Site": "cross-site"},
    )
    assert answer.status_code == 403


@pytest.mark.parametrize("text", ["https://e.example", "//e.example", "/\\e", "e", "/a\nb", ""])
def test_login_leads_nowhere_else(text: str) -> None:
    assert local_path(text) == "/"


def make(site: Any, table: str, values: dict[str, str]) -> str:
    with site.instance.records.write(SYSTEM, enforce=False) as records:
        return str(records.apply(insert(table, values)).sys_id)


def test_home_says_who_opens_which_connection_and_escapes(site: Any) -> None:
    make(site, "ecc_agent", {"name": "agent <1>"})
    url = "https://user:word@chat.example.com/secret-path"
    make(site, "http_connection", {"name": "chat", "connection_url": url})
    home = site.send("GET", "/", user="admin")
    assert home.status_code == 200
    assert "MID server agent &lt;1&gt;" in home.text
    assert "agent <1>" not in home.text
    assert "http://inst.example.com/api/now/table/" in home.text
    assert "https://chat.example.com" in home.text
    assert "secret-path" not in home.text
    assert "word@" not in home.text
    assert "<script" not in home.text


def test_home_says_what_runs(site: Any) -> None:
    home = site.send("GET", "/", user="admin").text
    assert f"Midspan {__version__}" in home
    assert "SQLite 3." in home
    assert f"<code>{site.instance.node}</code>" in home
    make(site, "sys_data_source", {"name": "Never run", "type": "File"})
    after = site.send("GET", "/", user="admin").text
    assert "Never run" in after.partition("<h2>Imports</h2>")[2]
    assert "never ran" in after


def test_home_shows_nothing_of_what_somebody_may_not_read(site: Any) -> None:
    make(site, "sys_data_source", {"name": "A secret source", "type": "File"})
    home = site.send("GET", "/", user="ann")
    assert home.status_code == 200
    assert "A secret source" not in home.text
    assert "<h2>Imports</h2>" not in home.text
    assert "/nav/sys_properties" not in home.text
    assert "No connection is set up" not in home.text
    assert "REST Table API" in home.text


def test_home_on_postgresql(postgres_site: Any) -> None:
    make(postgres_site, "sys_data_source", {"name": "People", "type": "File"})
    home = postgres_site.send("GET", "/", user="admin")
    assert home.status_code == 200
    assert "PostgreSQL " in home.text
    assert "never ran" in home.text


def test_pages_are_shown_as_they_are_sent(site: Any) -> None:
    policy = site.send("GET", "/", user="admin").headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "script" not in policy
    assert "unsafe" not in policy


def test_what_belongs_to_a_record_is_below_it(site: Any) -> None:
    source = make(site, "sys_data_source", {"name": "Assets of tomorrow", "type": "JDBC"})
    values = {"name": "Every night <x>", "data_source": source, "active": "false"}
    schedule = make(site, "scheduled_import_set", values)
    page = site.send("GET", f"/nav/sys_data_source/{source}", user="admin").text
    below = page.partition("<h2>Scheduled Data Imports</h2>")[2]
    assert f'<a href="/nav/scheduled_import_set/{schedule}">Every night &lt;x&gt;</a>' in below
    assert "<h2>Import Sets</h2>" not in page


def test_a_record_page_shows_labels_and_names_escaped(site: Any) -> None:
    answer = site.send("GET", f"/nav/task/{USER}", user="admin")
    assert answer.status_code == 200
    assert "&lt;script&gt;" in answer.text
    assert "<script>" not in answer.text
    assert f'<a href="/nav/sys_user/{USER}">&lt;Ann&gt;</a>' in answer.text
    assert "Short description" in answer.text


def test_display_rules_run_before_the_page_of_a_record(site: Any) -> None:
    script = (
        "gs.addInfoMessage('Look <twice>'); current.state = 3; current.assigned_to = '';"
        "current.opened_by = '6816f79cc0a8016401c5a33be04be441'; "
        "current.description = 'nobody <else>';"
        "g_scratchpad.open = '</script><b>'; g_scratchpad.n = [1];"
        "g_scratchpad.of = current.number;"
    )
    rule = {"collection": "task", "name": "Shown", "when": "before_display", "advanced": "true"}
    made = make(site, "sys_script", {**rule, "script": script})
    page = site.send("GET", f"/nav/task/{USER}", user="admin").text
    row = site.send("GET", f"/api/now/table/task/{USER}", user="admin").json()["result"]
    with site.instance.records.write(SYSTEM, enforce=False) as records:
        records.apply(delete("sys_script", made))
    assert "<p>Look &lt;twice&gt;</p>" in page
    assert "nobody &lt;else&gt;" in page
    assert "System Administrator" in page
    assert row["description"] == ""
    data = re.search(r'<script type="application/json" id="g_scratchpad">(.*?)</script>', page)
    assert data is not None
    shown = {"open": "</script><b>", "of": row["number"], "n": [1]}
    assert json.loads(data[1]) == shown
    plain = site.send("GET", f"/nav/task/{USER}", user="admin").text
    assert "nobody" not in plain
    assert "twice" not in plain
    assert "g_scratchpad" not in plain


def test_a_list_page_links_to_its_records(site: Any) -> None:
    answer = site.send("GET", "/nav/incident", user="admin")
    assert answer.status_code == 200
    assert f'<a href="/nav/incident/{USER}">INC' in answer.text
    assert "1 in all" in answer.text


def test_pages_obey_access_controls(site: Any) -> None:
    assert site.send("GET", f"/nav/sys_user/{USER}", user="ann").status_code == 200
    other = site.send(
        "GET", "/nav/sys_user/6816f79cc0a8016401c5a33be04be441", user="ann", headers=BROWSER
    )
    assert other.status_code in (200, 404)
    hidden_page = site.send("GET", "/nav/sys_script", user="ann")
    assert "0 in all" in hidden_page.text
    assert site.send("GET", "/nav/sys_session", user="admin").status_code == 403
    unknown = site.send("GET", "/nav/no_such", user="admin", headers=BROWSER)
    assert unknown.status_code == 400
    assert "<h1>Invalid table no_such</h1>" in unknown.text


def test_health(site: Any, make_app: Any) -> None:
    assert site.send("GET", "/healthz").json() == {"status": "alive"}
    assert site.send("GET", "/readyz").json() == {"status": "ready"}

    def broken() -> None:
        raise Unavailable("the queue")

    from_broken = make_app(readiness=(broken,)).send("GET", "/readyz")
    assert from_broken.status_code == 503
    assert from_broken.json()["status"] == "not ready"


def test_an_unknown_page_is_not_found(site: Any) -> None:
    assert site.send("GET", "/no/such/page").status_code == 404


def test_set_up(site: Any) -> None:
    parts = site.app.parts
    assert not setup_needed(parts.records)
    old = setup_path(parts.records, parts.clock, parts.ids)
    path = setup_path(parts.records, parts.clock, parts.ids)
    assert site.send("GET", old).status_code == 403
    shown = site.send("GET", path)
    token = hidden(shown, "token")
    assert shown.headers["referrer-policy"] == "no-referrer"

    short = {"token": token, "password": "short", "again": "short"}
    assert "at least 8" in site.send("POST", "/setup", data=short).text
    differing = {"token": token, "password": PASSWORD, "again": "x" * 9}
    assert "differ" in site.send("POST", "/setup", data=differing).text

    right = {"token": token, "password": PASSWORD, "again": PASSWORD}
    done = site.send("POST", "/setup", data=right)
    assert done.status_code == 303, done.text
    cookie = {"Cookie": done.headers["set-cookie"].partition(";")[0]}
    assert site.send("GET", "/", headers=cookie).status_code == 200
    assert site.send("GET", "/", user="admin").status_code == 200
    assert site.send("POST", "/setup", data=right).status_code == 403
    assert site.send("GET", path).status_code == 403


def test_a_set_up_link_ages(site: Any) -> None:
    parts = site.app.parts
    path = setup_path(parts.records, parts.clock, parts.ids)
    parts.clock.advance(timedelta(minutes=16))
    assert site.send("GET", path).status_code == 403
    assert site.send("GET", "/setup").status_code == 403
