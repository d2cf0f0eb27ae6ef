"""suds, as its community keeps it: reads the WSDL, builds objects from it."""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Any

import suds
from suds.client import Client
from suds.transport.http import HttpAuthenticated

WARNINGS: list[str] = []


class Noted(logging.Handler):
    """Remembers what the library warns of."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            WARNINGS.append(record.getMessage())


def service(table: str, words: str = "") -> Any:
    given = {"username": os.environ["CLIENT_USER"], "password": os.environ["CLIENT_PASSWORD"]}
    address = f"{os.environ['CLIENT_URL']}/{table}.do?{words}WSDL"
    return Client(address, transport=HttpAuthenticated(**given), cache=None).service


def run(case: dict[str, str]) -> dict[str, Any]:
    table, field, reference, empty = (case[key] for key in ("table", "field", "reference", "empty"))
    soap = service(table)
    made = soap.insert(**{field: case["value"], reference: case["shown"]}).sys_id
    got = soap.get(sys_id=made)
    page = soap.getRecords(**{"__encoded_query": f"sys_id={made}", "__limit": "5"})
    keys = soap.getKeys(sys_id=made)
    soap.update(sys_id=made, **{field: case["second"]})
    updated = soap.get(sys_id=made)
    groups = soap.aggregate(COUNT="sys_id", sys_id=made)
    try:
        soap.update(sys_id="0" * 32, **{field: "x"})
        fault = None
    except suds.WebFault as raised:
        fault = {"code": str(raised.fault.faultcode), "text": str(raised.fault.faultstring)}
    return {
        "got": [str(got[field]), str(got[reference]), got[empty] or ""],
        "shown": str(service(table, "displayvalue=true&").get(sys_id=made)[reference]),
        "both": str(service(table, "displayvalue=all&").get(sys_id=made)[f"dv_{reference}"]),
        "records": [row.sys_id == made for row in page],
        "keys": [keys.sys_id == made, int(keys.count)],
        "updated": str(updated[field]),
        "counted": int(groups[0].COUNT),
        "fault": fault,
        "deleted": int(soap.deleteRecord(sys_id=made)),
        "gone": not soap.get(sys_id=made),
    }


if __name__ == "__main__":
    logging.getLogger().addHandler(Noted())
    cases = json.loads(os.environ["SOAP_CASES"])
    found = {case["table"]: run(case) for case in cases}
    json.dump({"version": suds.__version__, "warnings": WARNINGS, "found": found}, sys.stdout)
