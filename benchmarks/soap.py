"""SOAP and the Import Set API beside the Table API: the same records by the same server, in turns.

Reads ask for every field that the user may read, without reference links and total counts, which
SOAP does not have. A row for the Import Set API becomes a record by the map of its staging table;
the Table API is given the same values for the same target. Written records are deleted after each
round, so that every figure finds the same tables.
"""

from __future__ import annotations

import json
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import databases
import dataset
import processes
from compared import Compared, Goal, compared, report
from processes import Server
from services import ADMIN, load, request, serving

from midspan.instance import Instance
from midspan.kernel.settings import Settings
from midspan.records import insert
from midspan.security import SYSTEM

RECORDS = 10_000
PAGE = 100
MANY = 1_000
"""Rows of one insertMultiple."""
CONNECTIONS = 8
DISTINCT = 50_000
"""Names of new records; a second row with the same name would only change the first one's."""
DESCRIPTIONS = 20
"""WSDLs of one round; their median counts."""
ROLES = ("soap_query",)
STAGING, TARGET = "imp_location", "cmn_location"
MARK = "by the benchmark"
ADDRESS = {"street": "1 Long Road", "city": MARK, "zip": "12345", "country": "Nowhere"}
REST = "sysparm_exclude_reference_link=true&sysparm_no_count=true"
QUERY = "active=true^priority=3^ORDERBYDESCopened_at"


@dataclass(frozen=True)
class Bench:
    """A served instance with incidents."""

    target: databases.Target
    server: Server
    made: dataset.Dataset

    def rate(self, requests: list[str], seconds: float) -> float:
        """Return requests per second; what they wrote is forgotten."""
        got = load(self.server, requests, seconds, CONNECTIONS)
        self.forget()
        return float(got["rate"])

    def answered(self, text: str) -> bytes:
        """Return the body of an answer.

        Raises:
            RuntimeError: it is an error.
        """
        status, body = processes.ask(self.server, text)
        if status not in (200, 201):
            raise RuntimeError(f"status {status}: {body[:500]!r}")
        return body

    def took(self, text: str) -> float:
        """Return the seconds until an answer was there."""
        began = time.perf_counter()
        self.answered(text)
        return time.perf_counter() - began

    def forget(self) -> None:
        """Delete what was written."""
        for table in (TARGET, STAGING):
            self.target.statement(f"DELETE FROM {table} WHERE city = ?", MARK)  # noqa: S608


def measure(rounds: int, seconds: float) -> list[Compared]:
    """Measure everything ``rounds`` times, for so many seconds each."""
    with _bench() as bench:
        figures = [
            _get(bench, rounds, seconds),
            _page(bench, rounds, seconds),
            _wsdl(bench, rounds),
            _import(bench, rounds, seconds),
            _soap_many(bench, rounds),
        ]
        rest = _rest_many(bench, rounds)
        return [*figures, rest] if rest else figures


@contextmanager
def _bench() -> Iterator[Bench]:
    with databases.target("sqlite") as target:
        made = dataset.fill(target.data, target.url, RECORDS)
        _permit(target.data)
        with serving(target.data) as server:
            yield Bench(target, server, made)


def _permit(data: Path) -> None:
    """Let the bench's user read by SOAP."""
    instance = Instance(Settings(data=data))
    try:
        with instance.records.write(SYSTEM, enforce=False) as transaction:
            user = transaction.first("sys_user", f"user_name={dataset.USER}")
            for name in ROLES:
                role = transaction.first("sys_user_role", f"name={name}")
                if user is None or role is None:
                    raise LookupError(f"The instance has no role {name}")
                granted = {"user": user.sys_id, "role": role.sys_id}
                transaction.apply(insert("sys_user_has_role", granted))
    finally:
        instance.close()


def _get(bench: Bench, rounds: int, seconds: float) -> Compared:
    ids = bench.made.sys_ids
    soap = [_call(dataset.TABLE, "get", f"<sys_id>{one}</sys_id>") for one in ids]
    path = f"/api/now/table/{dataset.TABLE}"
    rest = [request("GET", f"{path}/{one}?{REST}", dataset.USER) for one in ids]
    number = json.loads(bench.answered(rest[0]))["result"]["number"]
    _check(f"<number>{number}</number>".encode() in bench.answered(soap[0]), "get")
    pairs = _turns(bench, soap, rest, rounds, seconds)
    return compared("SOAP get", "/s", pairs, peer="REST", goal=Goal("share", 0.5))


def _page(bench: Bench, rounds: int, seconds: float) -> Compared:
    asked = f"<__encoded_query>{QUERY}</__encoded_query><__limit>{PAGE}</__limit>"
    soap = [_call(dataset.TABLE, "getRecords", asked)]
    query = QUERY.replace("^", "%5E").replace("=", "%3D")
    path = f"/api/now/table/{dataset.TABLE}?sysparm_query={query}&sysparm_limit={PAGE}&{REST}"
    rest = [request("GET", path, dataset.USER)]
    rows = json.loads(bench.answered(rest[0]))["result"]
    answer = bench.answered(soap[0])
    same = all(f"<sys_id>{row['sys_id']}</sys_id>".encode() in answer for row in rows)
    _check(len(rows) == answer.count(b"<getRecordsResult>") == PAGE and same, "getRecords")
    pairs = _turns(bench, soap, rest, rounds, seconds)
    name = f"SOAP getRecords of {PAGE}"
    return compared(name, "/s", pairs, peer="REST", goal=Goal("share", 0.4))


def _wsdl(bench: Bench, rounds: int) -> Compared:
    """Time a WSDL as a client sees it, each over a connection of its own, beside one REST read."""
    wsdl = request("GET", f"/{dataset.TABLE}.do?WSDL", dataset.USER)
    path = f"/api/now/table/{dataset.TABLE}/{bench.made.sys_ids[0]}?{REST}"
    rest = request("GET", path, dataset.USER)
    _check(b"<wsdl:service" in bench.answered(wsdl), "WSDL")

    def typical(text: str) -> float:
        return median(bench.took(text) for _ in range(DESCRIPTIONS)) * 1000

    pairs = [(typical(wsdl), typical(rest)) for _ in range(rounds)]
    return compared("WSDL, warm, p50", "ms", pairs, peer="REST GET", goal=Goal("own", 20))


def _import(bench: Bench, rounds: int, seconds: float) -> Compared:
    run = secrets.token_hex(4)
    rows = [{"name": f"{run} {number}", **ADDRESS} for number in range(DISTINCT)]
    pushed = [request("POST", f"/api/now/import/{STAGING}", body=json.dumps(row)) for row in rows]
    rest = [request("POST", f"/api/now/table/{TARGET}", body=json.dumps(row)) for row in rows]
    told = json.loads(bench.answered(pushed[0]))["result"][0]
    _check((told["status"], told["table"]) == ("inserted", TARGET), "Import Set API")
    bench.forget()
    pairs = _turns(bench, pushed, rest, rounds, seconds)
    name = "Import Set API, insert"
    return compared(name, "/s", pairs, peer="Table API", goal=Goal("share", 0.4))


def _soap_many(bench: Bench, rounds: int) -> Compared:
    """Time inserts of many rows in one call, beside a call for each."""

    def many() -> str:
        records = (f"<record>{_fields(row)}</record>" for row in _rows())
        return _call(TARGET, "insertMultiple", "".join(records), ADMIN)

    def one(row: dict[str, str]) -> str:
        return _call(TARGET, "insert", _fields(row), ADMIN)

    _check(bench.answered(many()).count(b"<insertResponse>") == MANY, "insertMultiple")
    bench.forget()
    pairs = []
    for _ in range(rounds):
        took = bench.took(many())
        bench.forget()
        singly = bench.rate([one(row) for row in _rows()], 1.0)
        pairs.append((MANY / took, singly))
    return compared(f"SOAP insertMultiple of {MANY:,}, rows", "/s", pairs, peer="SOAP insert")


def _rest_many(bench: Bench, rounds: int) -> Compared | None:
    """Time the call that stages many rows at once; None where an instance does not have it."""
    path = f"/api/now/import/{STAGING}"

    def many() -> str:
        return request("POST", f"{path}/insertMultiple", body=json.dumps({"records": _rows()}))

    if processes.ask(bench.server, many())[0] in (404, 405):
        return None
    bench.forget()
    pairs = []
    for _ in range(rounds):
        took = bench.took(many())
        bench.forget()
        singly = [request("POST", path, body=json.dumps(row)) for row in _rows()]
        pairs.append((MANY / took, bench.rate(singly, 1.0)))
    name = f"REST insertMultiple of {MANY:,}, rows"
    return compared(name, "/s", pairs, peer="one row each", goal=Goal("own", 5000))


def _turns(
    bench: Bench, ours: list[str], peer: list[str], rounds: int, seconds: float
) -> list[tuple[float, float]]:
    """Load both peers in turns, after a short time to warm up."""
    for requests in (ours, peer):
        bench.rate(requests, min(1.0, seconds))
    return [(bench.rate(ours, seconds), bench.rate(peer, seconds)) for _ in range(rounds)]


def _rows() -> list[dict[str, str]]:
    run = secrets.token_hex(4)
    return [{"name": f"{run} {number}", **ADDRESS} for number in range(MANY)]


def _fields(row: dict[str, str]) -> str:
    return "".join(f"<{name}>{text}</{name}>" for name, text in row.items())


def _call(table: str, operation: str, content: str, user: str = dataset.USER) -> str:
    """Return the request of a SOAP operation."""
    body = (
        '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"'
        f' xmlns:t="http://www.service-now.com/{table}"><soapenv:Body>'
        f"<t:{operation}>{content}</t:{operation}></soapenv:Body></soapenv:Envelope>"
    )
    return request("POST", f"/{table}.do?SOAP", user, body, "xml")


def _check(held: bool, what: str) -> None:
    if not held:
        raise RuntimeError(f"{what}: the peers do not do the same")


if __name__ == "__main__":
    sys.stdout.write(report("SOAP and import sets", measure(3, 3.0)) + "\n")
