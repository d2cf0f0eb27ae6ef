"""zeep over requests, which keeps cookies and follows 307: a session, and a call that is long."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import zeep
from requests import Session
from requests.auth import HTTPBasicAuth
from zeep.transports import Transport

STATUSES: list[int] = []


def note(response: Any, *_: Any, **__: Any) -> None:
    if response.request.method == "POST":
        STATUSES.append(response.status_code)


def main() -> None:
    session = Session()
    session.auth = HTTPBasicAuth(os.environ["CLIENT_USER"], os.environ["CLIENT_PASSWORD"])
    session.hooks["response"].append(note)
    address = f"{os.environ['CLIENT_URL']}/ClientSlow.do?"
    client = zeep.Client(f"{address}WSDL", transport=Transport(session=session))
    (binding,) = client.wsdl.bindings
    soap = client.create_service(binding, f"{address}SOAP&redirectSupported=true")
    cookies = []
    for _ in range(3):
        soap.execute(millis="0")
        cookies.append(session.cookies["JSESSIONID"])
    quick = list(STATUSES)
    STATUSES.clear()
    answer = soap.execute(millis="6000")
    found = {
        "stays": cookies[1] == cookies[2],
        "quick": quick,
        "slow": STATUSES,
        "text": answer,
        "cookies": sorted(cookie.name for cookie in session.cookies),
    }
    json.dump(found, sys.stdout)


main()
