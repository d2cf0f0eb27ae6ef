"""zeep: calls a scripted service by its WSDL, with a WS-Security token besides the sign-in."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import zeep
from requests import Session
from requests.auth import HTTPBasicAuth
from zeep.exceptions import Fault
from zeep.transports import Transport
from zeep.wsse.username import UsernameToken


def service(password: str) -> Any:
    session = Session()
    session.auth = HTTPBasicAuth(os.environ["CLIENT_USER"], os.environ["CLIENT_PASSWORD"])
    token = UsernameToken(os.environ["CLIENT_USER"], password)
    address = f"{os.environ['CLIENT_URL']}/ClientGreeting.do?WSDL"
    return zeep.Client(address, transport=Transport(session=session), wsse=token).service


def fault(call: Any, **parameters: str) -> str:
    try:
        call(**parameters)
    except Fault as refused:
        return str(refused.message)
    return ""


def main() -> None:
    soap = service(os.environ["CLIENT_PASSWORD"])
    answer = soap.execute(who="Grüße & <b>", times="2")
    found = {
        "text": answer.text,
        "times": answer.times,
        "thrown": fault(soap.execute, who="nobody"),
        "wrong": fault(service("wrong").execute, who="Ann"),
    }
    json.dump(found, sys.stdout)


main()
