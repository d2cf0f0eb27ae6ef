"""Scenario 4, bulk import: 10,000 people as CSV, five of them broken in five ways."""

from __future__ import annotations

import random
import time
from pathlib import Path

from midspan.demo.scenario import Evidence, Say, Scenario, Shown, Stage, expect

ROWS = 10_000
FIRST = ("Ada", "Björn", "Chloé", "Dmitri", "Eun-ji", "Fatima", "Grace", "Hiro", "Inés", "Jamal")
LAST = ("Abebe", "Brûlé", "Cohen", "Díaz", "Eriksen", "Fischer", "García", "Haddad", "Ito", "Jones")
DEPARTMENTS = ("Engineering", "Finance", "Human Resources", "Legal", "Operations", "Sales")
HEADER = "Login,First name,Last name,E-mail,Department,Manager,Last login"
BROKEN = {
    1_000: ("wrong column count", "p01000,Only,Three"),
    3_000: ("unreadable characters", None),
    5_000: ("impossible date", "p05000,Ann,Late,ann@example.com,Sales,,2026-31-01"),
    7_000: ("unknown manager", "p07000,Ben,Lost,ben@example.com,Sales,nobody,31/01/2026 08:00:00"),
    9_000: ("no login", ",Cem,Nameless,cem@example.com,Sales,,31/01/2026 08:00:00"),
}
"""Row number (1 is the first after the header) to the kind of fault and the row's text."""


def write_file(path: Path) -> None:
    """Write the CSV file; the same bytes every time."""
    chance = random.Random(2026)  # noqa: S311 - reproducible names, no secret
    with path.open("wb") as out:
        out.write(HEADER.encode() + b"\r\n")
        for number in range(1, ROWS + 1):
            if number in BROKEN:
                text = BROKEN[number][1]
                line = b"p03000,\xff\xfe,Bytes,x@example.com,Sales,,31/01/2026 08:00:00"
                out.write((text.encode() if text is not None else line) + b"\r\n")
                continue
            first, last = chance.choice(FIRST), chance.choice(LAST)
            manager = "p00001" if number > 1 else ""
            seen = f"{chance.randint(1, 28):02}/0{chance.randint(1, 9)}/2025 08:{number % 60:02}:00"
            out.write(
                f"p{number:05},{first},{last},p{number:05}@example.com,"
                f"{chance.choice(DEPARTMENTS)},{manager},{seen}\r\n".encode()
            )


def run(stage: Stage, say: Say) -> Shown:
    """Import the file and check every promise about it."""
    admin, file = stage.admin, stage.folder / "people.csv"
    write_file(file)
    say(f"Importing {file.name}: {ROWS:,} rows, {len(BROKEN)} of them broken")
    started = time.perf_counter()
    reply = admin.send(
        "POST",
        "/api/midspan/v1/import/People",
        content=file.read_bytes(),
        headers={"content-type": "text/csv"},
    )["result"]
    seconds = time.perf_counter() - started
    (imported,) = reply["runs"]
    totals, reported = imported["totals"], imported["errors"]
    parts = [totals[name] for name in ("inserts", "updates", "ignored", "skipped", "errors")]
    expect(sum(parts) == totals["total"] == ROWS, f"the totals do not add up: {totals}")
    good = ROWS - len(BROKEN)
    expect(totals["inserts"] == good, f"{totals['inserts']} users instead of {good}: {totals}")
    expect(
        sorted(int(error["row"]) for error in reported) == [n + 1 for n in sorted(BROKEN)],
        f"other rows were reported: {reported}",
    )
    expect(all(error["reason"] for error in reported), f"a reason is missing: {reported}")
    people = admin.count("sys_user", "user_nameSTARTSWITHp0^departmentISNOTEMPTY")
    first = admin.count("sys_user", "user_nameSTARTSWITHp1^departmentISNOTEMPTY")
    expect(people + first == good, f"only {people + first} users have a department")
    return Shown(
        went_in=f"{ROWS:,} rows of CSV, {len(BROKEN)} broken",
        came_out=f"{good:,} users with departments, {len(reported)} rows reported with line and"
        " reason",
        seconds=seconds,
        evidence=(
            Evidence("The import with its totals", "sys_import_set_run", imported["sys_id"]),
            Evidence(
                "The broken rows, with reasons",
                "sys_import_set_row_error",
                query=f"import_set_run={imported['sys_id']}^ORDERBYrow",
            ),
            Evidence("The people", "sys_user", query="user_nameSTARTSWITHp"),
            Evidence("Departments made on the way", "cmn_department"),
        ),
    )


SCENARIO = Scenario(
    title="10,000 people from a file",
    direction="inbound, bulk",
    opened_by="Whoever has the file connects to the instance",
    run=run,
)
