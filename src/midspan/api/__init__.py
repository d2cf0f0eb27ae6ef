"""Every HTTP surface: the vendor's names, wordings and envelopes live here and only here."""

from midspan.api.app import Application, create_app
from midspan.api.parts import ApiParts
from midspan.api.request import Identity, Request
from midspan.api.response import Response
from midspan.api.router import HandlerDecides, Public, Role, Route, Router, SignedIn, versioned

__all__ = [
    "ApiParts",
    "Application",
    "HandlerDecides",
    "Identity",
    "Public",
    "Request",
    "Response",
    "Role",
    "Route",
    "Router",
    "SignedIn",
    "create_app",
    "versioned",
]
