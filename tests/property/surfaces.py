"""Two worlds that differ in what is hidden, and what is asked of every read surface of them."""

from __future__ import annotations

from collections.abc import Iterator

from .veil import HOSTS, PEOPLE, READER, TEAMS, World

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


def reports() -> Iterator[tuple[str, str, object]]:
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
