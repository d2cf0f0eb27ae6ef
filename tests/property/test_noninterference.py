"""What a user may not read influences nothing that he sees, on both databases.

Two instances hold the same cases, as far as the reader may read them. What he may not read differs
between them: cases that he does not reach, the values of hidden fields, whom references lead to,
journal entries, files of hidden cases. Every read surface has to answer both with the same bytes:
lists and queries are drawn here, the other surfaces are gone through in ``test_read_surfaces``.
"""

from __future__ import annotations

import httpx
import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

from midspan.records import delete, insert
from midspan.security import SYSTEM

from .veil import PEOPLE, SEEDS, TEAMS, WORDS, Side, World

# What is in the two worlds

SHOWN = st.fixed_dictionaries(
    {
        "u_title": st.sampled_from(WORDS),
        "u_level": st.sampled_from(["", "1", "2", "3"]),
        "u_owner": st.sampled_from(["", *PEOPLE]),
        "u_team": st.sampled_from(["", *TEAMS]),
        "u_dim": st.sampled_from(["", "dim"]),
        "u_watchers": st.lists(st.sampled_from(PEOPLE), max_size=2, unique=True).map(",".join),
    }
)
DIM = st.fixed_dictionaries(
    {"u_dim": st.sampled_from(WORDS), "u_dusk": st.sampled_from(["", *PEOPLE])}
)
SECRET = st.fixed_dictionaries({"u_secret": st.sampled_from(WORDS)})
NAMED = st.fixed_dictionaries({"u_name": st.sampled_from(WORDS), "u_mail": st.sampled_from(WORDS)})


@st.composite
def visible_worlds(draw: st.DrawFn) -> tuple[World, list[str]]:
    """Draw what the reader may read, with the ids of its cases."""
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for sys_id in PEOPLE[:2]:
        rows["u_person", sys_id] = {**draw(NAMED), "u_public": "true", "u_boss": PEOPLE[2]}
    cases = [f"{n:032x}" for n in range(draw(st.integers(0, 4)))]
    for place, sys_id in enumerate(cases):
        table = draw(st.sampled_from(["u_case", "u_child_case"]))
        number = {"u_number": f"C{place}", "u_visible": "true"}
        rows[table, sys_id] = {**draw(SHOWN), **number}
    return World(rows, [(sys_id, "u_diary", "dear") for sys_id in cases[:2]]), cases


@st.composite
def hidden_worlds(draw: st.DrawFn, cases: list[str], visible: World) -> World:
    """Draw what the reader may not read: rows, values of fields, targets, entries."""
    rows: dict[tuple[str, str], dict[str, str]] = {}
    tables = {sys_id: table for table, sys_id in visible.rows}
    for sys_id in draw(st.lists(st.sampled_from(PEOPLE[2:]), unique=True)):
        rows["u_person", sys_id] = {**draw(NAMED), "u_public": "false"}
    for sys_id in draw(st.lists(st.sampled_from(TEAMS), unique=True)):
        rows["u_team", sys_id] = {"u_name": draw(st.sampled_from(WORDS))}
    hidden = [f"{n:032x}" for n in range(0x10, 0x10 + draw(st.integers(0, 3)))]
    for sys_id in hidden:
        values = {**draw(SHOWN), **draw(SECRET), "u_number": "C1", "u_visible": "false"}
        rows[draw(st.sampled_from(["u_case", "u_child_case"])), sys_id] = values
    for sys_id in cases:
        rank = {"u_rank": draw(st.sampled_from(["1", "2"]))}
        level = visible.rows[tables[sys_id], sys_id]["u_level"]
        rows["changed", sys_id] = {
            **draw(SECRET),
            **(rank if tables[sys_id] == "u_child_case" else {}),
            **(draw(DIM) if level != "1" else {}),
            "u_notes": draw(st.sampled_from(WORDS)),
            "u_tick": "the case counts its changes, which the reader may see",
        }
    about = st.sampled_from(hidden) if hidden else st.nothing()
    entries = [(draw(about), "u_diary", "hush") for _ in range(draw(st.integers(0, 1))) if hidden]
    return World(rows, entries)


# What is asked

FIELDS = (
    "u_number", "u_title", "u_level", "u_secret", "u_rank", "u_dim", "u_dusk", "u_dusk.u_name",
    "u_owner", "u_owner.u_name",
    "u_owner.u_mail", "u_owner.u_boss", "u_owner.u_boss.u_name", "u_team", "u_team.u_name",
    "u_watchers", "u_notes", "u_diary", "sys_tags", "sys_id", "sys_class_name",
    "sys_mod_count", "no_such", "glidefunction:length(u_title)", "glidefunction:length(u_secret)",
    "glidefunction:coalesce(u_dim,u_title)", "glidefunction:concat(u_title,u_owner.u_mail)",
    "glidefunction:position(u_owner.u_name,substring(u_dusk.u_name,'1'))",
)  # fmt: skip
OPERATORS = (
    *("=", "!=", ">", "<=", "LIKE", "NOT LIKE", "STARTSWITH", "IN", "NOT IN", "SAMEAS"),
    "MATCH_RGX",
)
VALUES = (*WORDS, "C1", "1", "2", PEOPLE[0], PEOPLE[2], TEAMS[0], "u_secret", "u_owner.u_name")
TERMS = st.one_of(
    st.builds("{}{}{}".format, *map(st.sampled_from, (FIELDS, OPERATORS, VALUES))),
    st.builds("{}{}".format, st.sampled_from(FIELDS), st.sampled_from(["ISEMPTY", "ISNOTEMPTY"])),
    st.builds("{}{}".format, st.sampled_from(["ORDERBY", "ORDERBYDESC"]), st.sampled_from(FIELDS)),
)
OTHERS = ("u_case", "u_case", "u_child_case", "u_person", "u_team", "sys_journal_field")
KEYS = ("u_owner", "u_owner", "u_team", "u_boss", "sys_id", "u_number", "u_secret", "u_name",
        "element_id", "u_owner.u_boss", "u_title")  # fmt: skip
INSIDE = st.one_of(st.just(""), TERMS)
RELATED = st.one_of(
    st.builds(
        "RLQUERY{}.{},{}{}^{}^ENDRLQUERY".format,
        *map(st.sampled_from, (OTHERS, KEYS, ("=", "!=", ">=", "<"), (0, 1, 2))),
        INSIDE,
    ),
    st.builds("SUBQUERY{},{},{}^{}^ENDSUBQUERY".format,
              *map(st.sampled_from, (KEYS, KEYS, OTHERS)), INSIDE),
    st.builds("JOINu_case.{}={}.{}!{}".format,
              *map(st.sampled_from, (KEYS, OTHERS, KEYS)), INSIDE),
    st.builds("RLQUERYu_case.u_owner,{}1^RLQUERY{}.{},=0^{}^ENDRLQUERY^ENDRLQUERY".format,
              *map(st.sampled_from, (("<", ">="), OTHERS, KEYS)), INSIDE),
)  # fmt: skip
QUERIES = st.lists(st.one_of(TERMS, TERMS, RELATED), max_size=3).flatmap(
    lambda terms: st.sampled_from(["^", "^OR", "^NQ"]).map(lambda glue: glue.join(terms))
)
NAMES = st.lists(st.sampled_from(FIELDS), max_size=5, unique=True).map(",".join)
TABLES = st.sampled_from(
    ["u_case", "u_case", "u_child_case", "u_person", "u_team", "sys_journal_field"]
)
IDS = st.sampled_from([f"{n:032x}" for n in (0, 1, 2, 0x10, 0x11)] + PEOPLE + TEAMS)


def _parameters(**more: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    known = {
        "sysparm_fields": NAMES,
        "sysparm_display_value": st.sampled_from(["false", "true", "all"]),
        "sysparm_exclude_reference_link": st.sampled_from(["", "true"]),
        **more,
    }
    return st.fixed_dictionaries(known).map(lambda given: str(httpx.QueryParams(given)))


LISTS = _parameters(
    sysparm_query=QUERIES,
    sysparm_limit=st.sampled_from(["", "1", "2"]),
    sysparm_offset=st.sampled_from(["", "1", "2"]),
    u_owner=st.sampled_from(["", "a", PEOPLE[2]]),
).map(lambda text: text.replace("u_owner=&", "").removesuffix("&u_owner="))
STATS = _parameters(
    sysparm_query=QUERIES,
    sysparm_count=st.just("true"),
    sysparm_group_by=NAMES,
    sysparm_min_fields=NAMES,
    sysparm_avg_fields=st.sampled_from(["", "u_level", "u_rank"]),
    sysparm_order_by=st.sampled_from(["", "COUNT", *FIELDS[:8]]),
    sysparm_having=st.sampled_from(["", "count^u_secret^>^1", "count^u_title^>^1"]),
)
PATHS = st.one_of(
    st.builds("/api/now/table/{}?{}".format, TABLES, LISTS),
    st.builds("/api/now/v1/table/{}?{}".format, TABLES, LISTS),
    st.builds("/api/now/table/{}/{}?{}".format, TABLES, IDS, _parameters()),
    st.builds("/api/now/stats/{}?{}".format, TABLES, STATS),
    st.builds("/nav/{}?{}".format, TABLES, LISTS),
    st.builds("/nav/{}/{}".format, TABLES, IDS),
)
RELATING = [
    "RLQUERYu_case.u_owner,{}^ENDRLQUERY",
    "RLQUERYu_case.u_owner,{}^u_levelISNOTEMPTY^ENDRLQUERY",
    "RLQUERYu_person.u_boss,{}^ENDRLQUERY",
    "RLQUERYsys_journal_field.element_id,{}^ENDRLQUERY",
    "RLQUERYu_case.u_owner,{}^RLQUERYsys_journal_field.element_id,=0^ENDRLQUERY^ENDRLQUERY",
]
FIXED = (
    "/",
    *(
        f"/api/now/table/{table}?{httpx.QueryParams(sysparm_query=text.format(count))}"
        for table in ("u_person", "u_case")
        for text in RELATING
        for count in ("=0", ">=1", "<2", "!=1")
    ),
    *(
        f"/api/now/table/{table}?{httpx.QueryParams(sysparm_query=query)}"
        for table in ("u_case", "u_person", "u_team")
        for query in (
            f"u_ownerIN_HIERARCHYu_boss@{PEOPLE[2]}",
            f"sys_idIN_HIERARCHYu_boss@{PEOPLE[2]}",
            "u_ownerDYNAMIC90d1921e5f510100a9ad2572f2b477fe",
            "123TEXTQUERY321=a",
            "IR_OR_QUERY=a b",
        )
    ),
    "/api/now/table/u_person?sysparm_query=JOINu_person.sys_id=u_case.u_owner!u_title=a",
    "/api/now/table/u_case?sysparm_query=u_ownerSUBQUERYu_boss,u_person",
    "/api/now/stats/u_person?sysparm_count=true&sysparm_query=RLQUERYu_case.u_owner,=0^ENDRLQUERY",
    "/api/x_veil/veil/cases",
    "/api/now/table/u_case?sysparm_display_value=all",
    "/api/now/table/u_case?sysparm_fields=u_dim,u_dusk,u_dusk.u_name,u_dusk.u_boss",
    "/api/now/table/u_child_case?sysparm_display_value=true",
    "/api/now/table/sys_journal_field",
    "/api/now/stats/u_case?sysparm_count=true&sysparm_group_by=u_owner&sysparm_display_value=all",
    "/nav/u_case",
    "/nav/u_person",
)


@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_what_may_not_be_read_influences_no_answer(
    sides: tuple[Side, Side], data: st.DataObject
) -> None:
    visible, cases = data.draw(visible_worlds())
    seed = next(SEEDS)
    for side in sides:
        side.hold(seed, visible, data.draw(hidden_worlds(cases, visible)))
    paths = [*FIXED, *data.draw(st.lists(PATHS, min_size=12, max_size=12))]
    for path in paths:
        accept = data.draw(st.sampled_from(["application/json", "application/xml"]))
        first, second = (side.send(path, Accept=accept) for side in sides)
        event(f"{path.partition('?')[0].split('/')[1]} {first[0]}")
        assert first == second, path
        assert first[0] < 500, path
    first_batch, second_batch = (
        side.batch([path for path in paths if path.startswith("/api/now/")]) for side in sides
    )
    assert first_batch == second_batch


@pytest.mark.parametrize(
    ("name", "path", "ours", "vendors"),
    [
        (
            "midspan.access.names_ignore_acl",
            "/api/now/table/u_case?sysparm_fields=u_team&sysparm_display_value=true"
            "&sysparm_exclude_reference_link=true",
            '{"result":[{"u_team":""}]} 1',
            '{"result":[{"u_team":"Blue"}]} 1',
        ),
        (
            "midspan.table_api.count_ignores_acl",
            "/api/now/table/u_case?sysparm_fields=u_number",
            '{"result":[{"u_number":"C0"}]} 1',
            '{"result":[{"u_number":"C0"}]} 2',
        ),
    ],
)
def test_properties_choose_what_the_vendor_shows(
    sides: tuple[Side, Side], name: str, path: str, ours: str, vendors: str
) -> None:
    side = sides[0]
    shown = {"u_number": "C0", "u_visible": "true", "u_team": TEAMS[0]}
    hidden = {("u_case", PEOPLE[0]): {"u_number": "C1"}, ("u_team", TEAMS[0]): {"u_name": "Blue"}}
    side.hold(next(SEEDS), World({("u_case", PEOPLE[1]): shown}), World(hidden))
    assert _shown(side, path) == ours
    values = {"name": name, "value": "true"}
    with side.instance.records.write(SYSTEM, enforce=False) as records:
        made = records.apply(insert("sys_properties", values)).sys_id
    assert _shown(side, path) == vendors
    with side.instance.records.write(SYSTEM, enforce=False) as records:
        records.apply(delete("sys_properties", made))
    assert _shown(side, path) == ours


def _shown(side: Side, path: str) -> str:
    _, headers, body = side.send(path)
    return f"{body.decode()} {headers['x-total-count']}"
