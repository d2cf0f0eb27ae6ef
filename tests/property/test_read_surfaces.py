"""Every read surface of the live router under two instances that differ in what is hidden.

``read_surfaces.txt`` is the reviewed list: each path that answers GET is compared here, or it says
why not. A route that comes new has no line and fails the test. Compared are answers to a user with
the role itil, to one without roles, and to somebody unknown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from midspan.attachments import Attributes, NewFile
from midspan.kernel.errors import MidspanError
from midspan.query import NEVER
from midspan.records import delete, insert
from midspan.security import SYSTEM

from .veil import AS_JSON, HOSTS, PEOPLE, READER, SEEDS, TEAMS, Side, World

REVIEWED = Path(__file__).with_name("read_surfaces.txt")
CASES = [f"{n:032x}" for n in range(3)]
HIDDEN = [f"{n:032x}" for n in (0x10, 0x11)]
MISSING = "f" * 32
CATALOG = "e0d08b13c3330100c8b837659bba8fb4"
ITEM, CART = "7" * 32, "c" * 32
MINE, THEIRS = "1a" * 16, "1b" * 16
"""Tags of the reader and of somebody else."""
DEPENDS = "1a9cb166f1571100a92eb60da2bce5c5"
VISIBLE = World(
    {
        ("sc_category", ITEM): {"title": "Hardware", "sc_catalog": CATALOG},
        ("sc_cat_item", ITEM): {"name": "Laptop", "category": ITEM, "sc_catalogs": CATALOG},
        ("u_person", PEOPLE[0]): {"u_name": "Ann", "u_public": "true", "u_boss": PEOPLE[2]},
        ("u_person", PEOPLE[1]): {"u_name": "Bea", "u_public": "true"},
        ("u_case", CASES[0]): {
            "u_number": "C0", "u_title": "a", "u_visible": "true", "u_level": "1",
            "u_owner": PEOPLE[2], "u_team": TEAMS[0], "u_watchers": f"{PEOPLE[0]},{PEOPLE[2]}",
        },
        ("u_child_case", CASES[1]): {"u_number": "C1", "u_visible": "true", "u_owner": PEOPLE[0]},
        ("u_case", CASES[2]): {"u_number": "C2", "u_visible": "true", "u_team": TEAMS[1]},
        ("cmdb_ci_linux_server", HOSTS[0]): {"name": "web", "duplicate_of": HOSTS[2]},
        ("cmdb_ci_service", HOSTS[1]): {"name": "shop"},
        ("cmdb_rel_ci", HOSTS[0]): {"parent": HOSTS[0], "child": HOSTS[2], "type": DEPENDS},
        ("cmdb_rel_ci", HOSTS[1]): {"parent": HOSTS[2], "child": HOSTS[1], "type": DEPENDS},
        ("label", MINE): {"name": "Mine", "owner": READER},
        ("label_entry", MINE): {"label": MINE, "table": "u_case", "table_key": CASES[1]},
    },
    [(CASES[0], "u_diary", "dear")],
)  # fmt: skip
DIM = {"u_dim": "d", "u_dusk": PEOPLE[0]}
"""Hidden in cases whose level is not 1."""
LITTLE = World(
    {("changed", case): {"u_secret": "", "u_notes": "n", "u_tick": "1"} for case in CASES}
)
MUCH = World(
    {
        ("sc_cart", CART): {"user": PEOPLE[0], "name": "DEFAULT"},
        ("sc_cart_item", CART): {"cart": CART, "cat_item": ITEM, "quantity": "2"},
        ("u_person", PEOPLE[2]): {"u_name": "Zoe", "u_public": "false", "u_boss": PEOPLE[1]},
        ("u_person", PEOPLE[3]): {"u_name": "Ann", "u_public": "false"},
        ("u_team", TEAMS[0]): {"u_name": "Blue"},
        ("label", THEIRS): {"name": "Theirs", "owner": "6816f79cc0a8016401c5a33be04be441"},
        ("label_entry", THEIRS): {"label": THEIRS, "table": "u_case", "table_key": CASES[0]},
        ("label_entry", CART): {"label": MINE, "table": "u_case", "table_key": HIDDEN[0]},
        ("cmdb_ci_linux_server", HOSTS[2]): {"name": "db", "environment": "Test", "ram": "8"},
        **{
            ("u_case", case): {"u_number": "C1", "u_title": "a", "u_owner": PEOPLE[0],
                               "u_secret": "x", "u_visible": "false"}
            for case in HIDDEN
        },
        **{
            ("changed", case): {"u_secret": "s", "u_notes": "hush", "u_tick": "1", **dim}
            for case, dim in zip(CASES, ({}, DIM, DIM), strict=True)
        },
    },
    [(HIDDEN[0], "u_diary", "hush")],
)  # fmt: skip
ACTING = {"sys_security_acl", "sys_security_acl_role"}
"""Tables of hidden rows that are there to decide what others see: rules of access."""
ASKED = {
    "/": ("/",),
    "/api/now/attachment": (
        "?sysparm_limit=1",
        "",
        "?sysparm_query=ORDERBYDESCsize_bytes",
        f"?sysparm_query=table_sys_id={HIDDEN[0]}",
        f"?sysparm_query=table_sys_idIN{HIDDEN[0]},{CASES[0]}^hash!=x",
        "?sysparm_query=file_name=hidden.txt^ORfile_nameSTARTSWITHv",
    ),
    "/api/now/attachment/{sys_id}": ("/{shown}", "/{hidden}", f"/{MISSING}"),
    "/api/now/attachment/{sys_id}/file": ("/{shown}/file", "/{hidden}/file", f"/{MISSING}/file"),
    "/api/now/attachment/{sys_id}/attributes": (
        "/{shown}/attributes",
        "/{hidden}/attributes",
        f"/{MISSING}/attributes",
    ),
    "/api/now/attachment/{sys_id}/attributes/{key}": (
        "/{shown}/attributes/a",
        "/{hidden}/attributes/a",
        f"/{MISSING}/attributes/a",
    ),
    "/api/now/cmdb/instance/{classname}": (
        "/cmdb_ci",
        "/cmdb_ci_linux_server?sysparm_query=name=db",
        "/cmdb_ci_linux_server?sysparm_query=ram=8",
        "/cmdb_ci?sysparm_query=duplicate_of.name=db",
        "/cmdb_ci?sysparm_limit=1&sysparm_offset=1",
    ),
    "/api/now/cmdb/instance/{classname}/{sys_id}": (
        *(f"/cmdb_ci/{host}" for host in HOSTS),
        f"/cmdb_ci_linux_server/{HOSTS[2]}",
        f"/cmdb_ci_service/{MISSING}",
    ),
    "/api/now/cmdb/meta/{classname}": ("/cmdb_ci_linux_server", "/cmdb_ci"),
    "/api/now/doc/openapi": ("", "?tables=u_case,u_team", "?tables=u_nosuch"),
    "/api/now/doc/table/schema": ("",),
    "/api/now/doc/table/schema/{table}": ("/u_case", "/u_team", "/u_person", "/u_nosuch"),
    "/api/now/stats/{table}": (
        "/u_case?sysparm_count=true",
        "/u_case?sysparm_count=true&sysparm_group_by=u_team,u_owner&sysparm_display_value=all",
        "/u_case?sysparm_count=true&sysparm_group_by=u_secret",
        "/u_case?sysparm_count=true&sysparm_group_by=u_dim",
        "/u_case?sysparm_count=true&sysparm_group_by=u_dusk&sysparm_display_value=all",
        "/u_case?sysparm_max_fields=u_rank,sys_updated_on&sysparm_group_by=u_level",
        "/u_case?sysparm_count=true&sysparm_having=count^u_secret^>^1&sysparm_group_by=u_title",
        "/sys_journal_field?sysparm_count=true&sysparm_group_by=element",
        "/sys_attachment?sysparm_count=true&sysparm_sum_fields=size_bytes",
    ),
    "/api/now/table/{table}": (
        "/u_case?sysparm_display_value=all",
        "/u_case?sysparm_display_value=true&sysparm_fields=u_owner.u_name,u_team.u_name,u_watchers",
        "/u_case?sysparm_limit=1&sysparm_offset=1",
        "/u_case?sysparm_query=ORDERBYu_secret^ORDERBYu_owner.u_name&sysparm_limit=1",
        "/u_case?sysparm_query=u_team.u_nameISEMPTY",
        "/u_case?sysparm_query=u_team=Blue",
        "/u_case?u_owner=Zoe",
        "/u_case?sysparm_query=u_ownerDYNAMICx",
        "/u_case?sysparm_view=default",
        *(f"/u_case?sysparm_query=sys_tags.{tag}{operator}{tag}" for tag in (MINE, THEIRS)
          for operator in ("=", "DOESNOTHAVE", "EXCLUDING")),
        "/u_case?sysparm_query=sys_tagsISEMPTY",
        "/u_case?sysparm_query=sys_tagsISNOTEMPTY",
        "/u_case?sysparm_query=sys_tagsLIKETheirs",
        "/u_case?sysparm_query=u_titleMATCH_RGX[a-c]",
        "/u_case?sysparm_query=u_secretMATCH_RGX.*",
        "/label",
        "/u_case?sysparm_view=probe&sysparm_display_value=all",
        "/u_child_case?sysparm_view=probe",
        "/u_person?sysparm_query=u_nameLIKEn",
        "/u_team",
        "/sys_attachment",
        "/sys_journal_field",
        "/sys_audit",
        "/sys_user?sysparm_query=user_name=bo",
    ),
    "/api/now/table/{table}/{sys_id}": (
        *(f"/u_case/{case}?sysparm_display_value=all" for case in (*CASES, *HIDDEN, MISSING)),
        *(f"/u_person/{one}" for one in PEOPLE),
        *(f"/u_team/{one}" for one in TEAMS),
        f"/u_child_case/{CASES[1]}?sysparm_fields=u_rank,u_owner.u_name",
        f"/sys_user/{READER}",
        *(f"/u_case/{case}?sysparm_view=probe" for case in (*CASES, *HIDDEN, MISSING)),
    ),
    "/api/now/ui/meta/{table}": ("/u_case", "/u_team", "/sys_user", "/u_nosuch"),
    "/api/now/ui/user/current_user": ("",),
    "/api/{rest:path}": ("/api/x_veil/veil/cases",),
    "/api/sn_sc/servicecatalog/cart": ("",),
    "/api/sn_sc/servicecatalog/catalogs": ("",),
    "/api/sn_sc/servicecatalog/catalogs/{sys_id}": (f"/{CATALOG}", f"/{MISSING}"),
    "/api/sn_sc/servicecatalog/catalogs/{sys_id}/categories": (f"/{CATALOG}/categories",),
    "/api/sn_sc/servicecatalog/categories/{sys_id}": (f"/{ITEM}",),
    "/api/sn_sc/servicecatalog/items": ("", f"?sysparm_catalog={CATALOG}&sysparm_text=hidden"),
    "/api/sn_sc/servicecatalog/items/{sys_id}": (f"/{ITEM}", f"/{MISSING}"),
    "/api/sn_sc/servicecatalog/items/{sys_id}/variables": (f"/{ITEM}/variables",),
    "/healthz": ("/healthz",),
    "/login": ("/login", "/login?to=%2Fnav%2Fu_case"),
    "/login.do": ("/login.do",),
    "/nav/{table}": ("/nav/u_case", "/nav/u_person", "/nav/u_team", "/nav/sys_attachment",
                     "/nav/u_case?sysparm_view=probe"),
    "/nav/{table}/{sys_id}": (
        *(f"/nav/u_case/{case}" for case in (*CASES, *HIDDEN, MISSING)),
        *(f"/nav/u_case/{case}?sysparm_view=probe" for case in (*CASES, *HIDDEN)),
        *(f"/nav/u_person/{one}" for one in PEOPLE),
    ),
    "/readyz": ("/readyz",),
    "/{table}.do": (
        "/u_case.do?WSDL",
        "/u_person.do?WSDL",
        "/u_team.do?WSDL",
        "/u_case.do",
        "/u_case_list.do?CSV&sysparm_default_export_fields=all",
        "/u_case_list.do?CSV&sysparm_fields=u_title,u_secret,u_owner,u_owner.u_name,u_team",
        "/u_case_list.do?CSV&sysparm_query=ORDERBYu_secret",
        "/u_case_list.do?CSV&sysparm_record_count=2&sysparm_orderby=u_title",
        "/u_case_list.do?XLSX",
        "/u_case_list.do?UNL",
        "/u_case.do?XML&sysparm_query=u_team.u_nameISNOTEMPTY",
        f"/u_case.do?XML&sys_id={HIDDEN[0]}",
        "/u_team_list.do?XML",
        "/u_case_list.do?CSV&sysparm_view=probe",
        "/u_case_list.do?XML&sysparm_view=probe",
        "/u_case.do?JSONv2&displayvalue=all&sysparm_view=probe",
        "/u_case.do?JSONv2&displayvalue=all&displayvariables=true",
        "/u_case.do?JSONv2&sysparm_action=getKeys&sysparm_query=u_owner=Zoe",
        f"/u_case.do?JSONv2&sysparm_sys_id={HIDDEN[1]}",
    ),
}  # fmt: skip
"""What is asked of each compared path; of those with versions the part behind it, in all."""
WRITES: tuple[tuple[str, str, object], ...] = (
    ("POST", "u_case?sysparm_input_display_value=true", {"u_team": "Blue"}),
    ("POST", "u_case?sysparm_input_display_value=true", {"u_owner": "Zoe"}),
    ("POST", "u_case?sysparm_input_display_value=true", {"u_owner": "Ann"}),
    ("POST", "u_case", {"u_team": "Blue", "u_owner": "Zoe"}),
    ("POST", "u_case", {"u_team": TEAMS[0], "u_owner": PEOPLE[2]}),
    ("POST", "u_case?sysparm_display_value=all", {"u_team": TEAMS[0], "u_owner": PEOPLE[3]}),
    ("POST", "u_case", {"u_owner.u_name": "Yan"}),
    ("POST", "u_case", {"u_watchers": "Zoe,Ann"}),
    ("POST", "u_case", {"sys_id": HIDDEN[0]}),
    ("POST", "u_child_case", {"sys_id": HIDDEN[1], "sys_class_name": "u_case"}),
    ("POST", "u_person", {"u_name": "Zoe", "u_boss": PEOPLE[3]}),
    ("POST", "sys_user?sysparm_input_display_value=true", {"user_name": "x", "manager": "hidden"}),
    ("POST", "incident?sysparm_input_display_value=true", {"cmdb_ci": "hidden", "company": "x"}),
    ("POST", "incident?sysparm_input_display_value=true", {"problem_id": "hidden"}),
    ("PATCH", f"u_case/{HIDDEN[0]}", {"u_title": "mine"}),
    ("PUT", f"u_case/{HIDDEN[1]}", {"u_visible": "true"}),
    ("DELETE", f"u_case/{HIDDEN[0]}", None),
    ("DELETE", f"u_person/{PEOPLE[2]}", None),
    ("DELETE", f"u_team/{TEAMS[0]}", None),
    ("PATCH", f"u_team/{TEAMS[0]}", {"u_name": "Red"}),
    ("PATCH", f"u_person/{PEOPLE[2]}", {"u_name": "Xan"}),
    ("PATCH", f"u_case/{CASES[0]}", {"u_secret": "s"}),
    ("PATCH", f"u_case/{CASES[0]}", {"u_notes": "more"}),
    ("PATCH", f"u_case/{CASES[0]}", {"u_team": "Blue"}),
    ("PATCH", f"u_case/{CASES[0]}", {"u_team": TEAMS[0]}),
    ("PATCH", f"u_case/{CASES[1]}?sysparm_input_display_value=true", {"u_owner": "Zoe"}),
)

SOAP = (
    "<getRecords/>",
    "<getRecords><u_owner>Zoe</u_owner></getRecords>",
    "<getRecords><__encoded_query>u_secret=s^ORDERBYu_secret</__encoded_query></getRecords>",
    "<getRecords><__order_by>u_owner</__order_by><__limit>1</__limit></getRecords>",
    "<getRecords><__use_view>default</__use_view></getRecords>",
    "<getRecords><__use_view>probe</__use_view></getRecords>",
    f"<get><sys_id>{CASES[0]}</sys_id><__use_view>probe</__use_view></get>",
    "<getKeys/>",
    "<getKeys><__encoded_query>u_team.u_nameISNOTEMPTY</__encoded_query></getKeys>",
    "<aggregate><COUNT>u_team</COUNT><GROUP_BY>u_team</GROUP_BY></aggregate>",
    "<aggregate><COUNT>sys_id</COUNT><GROUP_BY>u_secret</GROUP_BY></aggregate>",
    *(f"<get><sys_id>{one}</sys_id></get>" for one in (*CASES, *HIDDEN, *PEOPLE, *TEAMS)),
    "<insert><u_title>w</u_title><u_visible>true</u_visible><u_team>Blue</u_team></insert>",
    f"<insert><sys_id>{HIDDEN[0]}</sys_id><u_visible>true</u_visible></insert>",
    f"<update><sys_id>{HIDDEN[0]}</sys_id><u_title>w</u_title></update>",
    f"<update><sys_id>{CASES[2]}</sys_id><u_owner>Zoe</u_owner></update>",
    f"<deleteRecord><sys_id>{HIDDEN[1]}</sys_id></deleteRecord>",
    "<deleteMultiple><u_secret>x</u_secret></deleteMultiple>",
)
JSONV2: tuple[tuple[str, object], ...] = (
    ("sysparm_action=insert", {"u_title": "w", "u_visible": "true", "u_team": "Blue"}),
    ("sysparm_action=insert&displayvalue=all", {"u_visible": "true", "u_owner": "Zoe"}),
    ("sysparm_action=insert", {"sys_id": HIDDEN[0], "u_visible": "true"}),
    (f"sysparm_action=update&sysparm_query=sys_id={HIDDEN[0]}", {"u_title": "w"}),
    ("sysparm_action=update&sysparm_query=u_secret=x", {"u_title": "w"}),
    ("sysparm_action=update&sysparm_query=u_team.u_name=Blue", {"u_title": "w"}),
    (f"sysparm_action=deleteRecord&sysparm_sys_id={HIDDEN[1]}", {}),
    (f"sysparm_action=deleteRecord&sysparm_sys_id={MISSING}", {}),
    ("sysparm_action=deleteMultiple&sysparm_query=u_secret=x", {}),
    (f"sysparm_action=deleteMultiple&sysparm_query=sys_id={HIDDEN[1]}", {}),
)


def _reports() -> Iterator[tuple[str, str, object]]:
    """Yield payloads of items that mean what is hidden, and writes about it."""
    source, items = "?sysparm_data_source=ServiceNow", "/api/now/cmdb/instance"
    server = {"className": "cmdb_ci_linux_server", "values": {"name": "db", "ram": "8"}}
    named = {"className": "cmdb_ci_service", "values": {"sys_id": HOSTS[2]}}
    for path in ("", "/query", "/enhanced", "/queryEnhanced"):
        for item in (server, named):
            yield "POST", f"/api/now/identifyreconcile{path}{source}", {"items": [item]}
    body = {"attributes": {"name": "db", "ram": "8"}, "source": "ServiceNow"}
    yield "POST", f"{items}/cmdb_ci_linux_server", body
    yield "PUT", f"{items}/cmdb_ci_linux_server/{HOSTS[2]}", body
    target = {"outbound_relations": [{"type": DEPENDS, "target": HOSTS[2]}]}
    service = {"attributes": {"name": "shop"}, "source": "ServiceNow", **target}
    yield "POST", f"{items}/cmdb_ci_service", service
    yield "POST", f"{items}/cmdb_ci_service/{HOSTS[1]}/relation", service
    yield "DELETE", f"{items}/cmdb_ci/{HOSTS[2]}/relation/{HOSTS[0]}", None


@pytest.fixture
def pair(sides: tuple[Side, Side]) -> tuple[tuple[Side, Side], dict[str, str]]:
    """The two instances with little and much hidden in them, and the ids of two files."""
    seed, files = next(SEEDS), {}
    for side, hidden in zip(sides, (LITTLE, MUCH), strict=True):
        side.hold(seed, VISIBLE, World({}))
        files["shown"] = _attach(side, CASES[0], "visible.txt", b"visible")
        side.add(hidden)
    _fill_what_is_closed(sides[1])
    files["hidden"] = _attach(sides[1], HIDDEN[0], "hidden.txt", b"hidden" * 9)
    return sides, files


def _attach(side: Side, case: str, name: str, content: bytes) -> str:
    new = NewFile(table="u_case", record=case, name=name, content_type="text/plain")
    files = side.instance.attachments
    sys_id = files.write(SYSTEM, new, [content])
    with side.instance.records.write(SYSTEM, enforce=False) as records:
        Attributes(files.sql, records, sys_id).add("a", name)
    return sys_id


def _closed(side: Side) -> Iterator[str]:
    """Yield the tables of which neither reader may read a row."""
    records = side.instance.records
    snapshot = records.holder.current()
    actors = [side.actor(name) for name in ("bo", "al")]
    accesses = [records.access(actor, snapshot, side.instance.clock.now()) for actor in actors]
    for table in snapshot.dictionary:
        if all(access.rows(table.name, "read") == NEVER for access in accesses):
            yield table.name


def _fill_what_is_closed(side: Side) -> None:
    """Put a row into each closed table that takes one."""
    filled = 0
    for table in sorted(set(_closed(side)) - ACTING):
        try:
            with side.instance.records.write(SYSTEM, enforce=False) as records:
                display = records.dictionary.table(table).display
                given = {} if display == "sys_id" else {display: "hidden"}
                records.apply(insert(table, given))
            filled += 1
        except MidspanError:
            continue
    assert filled > 20


VERSIONS = {"/api/now": ("", "/v1", "/v2"), "/api/sn_sc": ("", "/v1")}


def _urls(path: str) -> Iterator[str]:
    for asked in ASKED[path]:
        match = re.match(r"(/api/(?:now|sn_sc))((?:/[a-z_]+)+)", path)
        if match is None:
            yield asked
            continue
        for version in VERSIONS[match[1]]:
            yield f"{match[1]}{version}{match[2]}{asked}"


def test_every_path_that_answers_get_is_reviewed(sides: tuple[Side, Side]) -> None:
    reviewed = dict(_reviewed())
    assert set(reviewed) == set(_paths(sides[0])), "Add a line to read_surfaces.txt, and to ASKED"
    assert {path for path, how in reviewed.items() if how == "compared"} == set(ASKED)
    for path, how in reviewed.items():
        assert how == "compared" or re.fullmatch(r"exempt: .{20,}", how), path


def test_every_read_surface_is_blind_for_what_is_hidden(
    pair: tuple[tuple[Side, Side], dict[str, str]],
) -> None:
    sides, files = pair
    for path in ASKED:
        answered = set()
        for url in _urls(path):
            asked = url.format_map(files)
            route = sides[0].app.router.find("GET", asked.partition("?")[0]).route
            assert re.sub("/v[12](?=/)", "", route.path) == path, asked
            for accept in ("application/json", "application/xml"):
                answered.add(_compared(sides, asked, "bo", accept))
            _compared(sides, asked, "al", "application/json")
            _compared(sides, asked, "", "text/html")
        assert 200 in answered, f"{path} was never answered"


def test_every_closed_table_is_blind(pair: tuple[tuple[Side, Side], dict[str, str]]) -> None:
    sides, _ = pair
    for table in sides[0].instance.records.holder.current().dictionary:
        if table.name in set(_closed(sides[0])):
            for user in ("bo", "al"):
                _compared(sides, f"/api/now/table/{table.name}?sysparm_limit=3", user)
                _compared(sides, f"/api/now/stats/{table.name}?sysparm_count=true", user)
                _compared(sides, f"/nav/{table.name}", user)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("midspan.access.names_ignore_acl", "/api/now/table/u_case?sysparm_display_value=true"),
        ("midspan.access.names_ignore_acl", f"/nav/u_case/{CASES[0]}"),
        ("midspan.table_api.count_ignores_acl", "/api/now/table/u_case?sysparm_fields=u_title"),
        ("midspan.table_api.count_ignores_acl", "/api/now/attachment"),
    ],
)
def test_the_two_instances_do_differ(
    pair: tuple[tuple[Side, Side], dict[str, str]], name: str, path: str
) -> None:
    """Where a property says that what is hidden counts, as it does at the vendor's, it is seen."""
    sides, _ = pair
    made = []
    for side in sides:
        with side.instance.records.write(SYSTEM, enforce=False) as records:
            values = {"name": name, "value": "true"}
            made.append(records.apply(insert("sys_properties", values)).sys_id)
    first, second = (side.send(path) for side in sides)
    for side, sys_id in zip(sides, made, strict=True):
        with side.instance.records.write(SYSTEM, enforce=False) as records:
            records.apply(delete("sys_properties", sys_id))
    assert first != second
    _compared(sides, path, "bo")


def test_parts_of_a_batch_are_blind(pair: tuple[tuple[Side, Side], dict[str, str]]) -> None:
    sides, files = pair
    asked = [url.format_map(files) for path in ASKED for url in _urls(path)]
    paths = [url for url in asked if url.startswith("/api/") and "openapi" not in url]
    for user in ("bo", "al"):
        first, second = (side.batch(paths, user) for side in sides)
        assert first == second
        assert json.loads(first)["unserviced_requests"] == []


def test_errors_of_writes_are_blind(pair: tuple[tuple[Side, Side], dict[str, str]]) -> None:
    sides, files = pair
    seed = next(SEEDS)
    statuses = set()
    uploads = [
        ("PATCH", f"/api/now/attachment/{files['hidden']}", {"file_name": "x"}),
        ("DELETE", f"/api/now/attachment/{files['hidden']}", None),
        *(
            (
                "POST",
                f"/api/now/attachment/file?table_name={table}&table_sys_id={one}&file_name=a",
                {},
            )
            for table, one in (("u_case", HIDDEN[0]), ("u_team", TEAMS[0]), ("u_case", MISSING))
        ),
        ("POST", "/api/now/tinyurl", {"url": "/x?sysparm_query=u_team=Blue"}),
        *_reports(),
    ]
    tables = [(method, f"/api/now/table/{rest}", body) for method, rest, body in WRITES]
    for number, (method, path, body) in enumerate([*tables, *uploads]):
        if method == "POST" and isinstance(body, dict) and "/table/" in path:
            body = {"u_title": "w", "u_visible": "true", **body}
        content = None if body is None else json.dumps(body).encode()
        for user in ("bo", "al"):
            found = []
            for side in sides:
                side.ids.begin(seed * 1_000 + number)
                found.append(side.ask(method, path, content, headers=AS_JSON, user=user))
            assert found[0] == found[1], (method, path, body, user)
            statuses.add(found[0][0])
    assert {201, 200, 204, 403, 404} <= statuses | {204}
    _compared(sides, "/api/now/table/u_case?sysparm_display_value=all", "bo")
    _compared(sides, "/api/now/table/u_person", "bo")


def test_soap_is_blind(pair: tuple[tuple[Side, Side], dict[str, str]]) -> None:
    sides, _ = pair
    head = '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>'
    headers = {"Content-Type": "text/xml"}
    for call in SOAP:
        content = f"{head}{call}</e:Body></e:Envelope>".encode()
        seed, answered = next(SEEDS), set()
        for table in ("u_case", "u_child_case", "u_person", "u_team", "sys_journal_field"):
            for query in ("SOAP", "SOAP&displayvalue=all"):
                found = []
                for side in sides:
                    side.ids.begin(seed)
                    path = f"/{table}.do?{query}"
                    found.append(side.ask("POST", path, content, headers=headers))
                assert found[0] == found[1], (call, table, query)
                answered.add((table, found[0][0]))
        if call == "<getRecords/>":
            assert {("u_case", 200), ("u_person", 200)} <= answered


def test_jsonv2_is_blind(pair: tuple[tuple[Side, Side], dict[str, str]]) -> None:
    sides, _ = pair
    for query, members in JSONV2:
        content, seed = json.dumps(members).encode(), next(SEEDS)
        for table in ("u_case", "u_team"):
            for user in ("bo", "al"):
                found = []
                for side in sides:
                    side.ids.begin(seed)
                    path = f"/{table}.do?JSONv2&{query}"
                    found.append(side.ask("POST", path, content, headers=AS_JSON, user=user))
                assert found[0] == found[1], (query, table, user)
    _compared(sides, "/u_case.do?JSONv2", "bo")


def test_a_short_address_of_somebody_else_cannot_be_guessed(sides: tuple[Side, Side]) -> None:
    """The id was made of user and query, so that one could see who had asked what."""
    side, query = sides[0], "sysparm_query=u_secret=x"
    made = [
        httpx.URL(json.loads(answer[2])["result"]).params["sysparm_tiny"]
        for answer in (
            side.ask("POST", "/api/now/tinyurl", body, headers=AS_JSON, user="al")
            for body in [json.dumps({"url": f"/x?{query}"}).encode()] * 2
        )
    ]
    assert made[0] == made[1]
    with side.instance.records.read(SYSTEM, enforce=False) as records:
        kept = records.find("sys_tiny_url", f"tiny_url={made[0]}")
    assert len(kept) == 1
    assert kept[0].sys_id != made[0]


def _compared(
    sides: tuple[Side, Side], path: str, user: str, accept: str = "application/json"
) -> int:
    first, second = (side.send(path, user, Accept=accept) for side in sides)
    assert first == second, (path, user, accept)
    assert first[0] < 500, path
    return first[0]


def _reviewed() -> Iterator[tuple[str, str]]:
    for line in REVIEWED.read_text().splitlines():
        if line and line[0] != "#":
            path, _, how = line.removeprefix("GET ").partition(" | ")
            yield path, how


def _paths(side: Side) -> Iterator[str]:
    for route in side.app.router.routes():
        if "GET" in route.methods:
            yield (
                re.sub("/v[12](?=/)", "", route.path, count=1)
                if route.path.startswith(tuple(f"{root}/" for root in VERSIONS))
                else route.path
            )
