"""zeep: reads the WSDL, checks every answer against it."""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Any

import zeep
from requests import Session
from requests.auth import HTTPBasicAuth
from zeep.exceptions import Fault
from zeep.transports import Transport

WARNINGS: list[str] = []


class Noted(logging.Handler):
    """Remembers what the library warns of."""

    def emit(self, record: logging.LogRecord) -> None:
        WARNINGS.append(record.getMessage())


def service(table: str, words: str = "") -> Any:
    session = Session()
    session.auth = HTTPBasicAuth(os.environ["CLIENT_USER"], os.environ["CLIENT_PASSWORD"])
    address = f"{os.environ['CLIENT_URL']}/{table}.do?{words}WSDL"
    return zeep.Client(address, transport=Transport(session=session)).service


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
    except Fault as raised:
        fault = {"code": raised.code, "text": raised.message}
    return {
        "got": [got[field], got[reference], got[empty] or ""],
        "shown": service(table, "displayvalue=true&").get(sys_id=made)[reference],
        "both": service(table, "displayvalue=all&").get(sys_id=made)[f"dv_{reference}"],
        "records": [row["sys_id"] == made for row in page],
        "keys": [keys.sys_id == made, int(keys.count)],
        "updated": updated[field],
        "counted": int(groups[0].COUNT),
        "fault": fault,
        "deleted": int(soap.deleteRecord(sys_id=made)),
        "gone": not soap.get(sys_id=made)["sys_id"],
    }


if __name__ == "__main__":
    logging.getLogger().addHandler(Noted())
    cases = json.loads(os.environ["SOAP_CASES"])
    found = {case["table"]: run(case) for case in cases}
    json.dump({"version": zeep.__version__, "warnings": WARNINGS, "found": found}, sys.stdout)
