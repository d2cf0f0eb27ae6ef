"""What a request asks for in the words of rules: API, version, resource, table.

Rules of inbound traffic (CORS, rate limits, access policies) name an API as ``now/table``, the way
it is called by or the sys_id of a scripted service. Here such a name becomes a path without
``/api`` and version, and a request's path the same, so that both can be compared.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct

from midspan.dictionary import Dictionary
from midspan.kernel.errors import did_you_mean
from midspan.storage import Statements, Transaction

APIS = {
    "now/attachment": "Attachment API",
    "now/batch": "Batch API",
    "now/import": "Import Set API",
    "now/stats": "Aggregate API",
    "now/table": "Table API",
}
"""What the interfaces of every instance are called."""
WITH_TABLE = frozenset({"now/import", "now/stats", "now/table"})
_DEFINITIONS = "sys_ws_definition"
_VERSION = re.compile(r"v[0-9]+")
_SYS_ID = re.compile(r"[0-9a-f]{32}")
_API = re.compile(r"[a-z0-9_]+(?:/[A-Za-z0-9_.-]+)+")


class Endpoint(Struct, frozen=True):
    """What a request asks for; ``path`` has neither ``/api`` nor version."""

    method: str
    path: str
    version: str = ""
    raw: str = ""
    """The whole path; the only one there is for what is not below ``/api``."""

    def within(self, api: str) -> bool:
        """Tell whether it belongs to an API.

        >>> [endpoint("GET", "/api/now/v2/table/task").within(a) for a in ("now/table", "now/tab")]
        [True, False]
        """
        return self.path == api or self.path.startswith(api + "/")

    def of_version(self, version: str) -> bool:
        """Tell whether it is answered by a version; without one in the path by the newest.

        Which one that is of a scripted service is not known here, so it may be any.

        >>> [endpoint("GET", path).of_version("v2") for path in ("/api/now/table/x", "/api/x/y")]
        [True, True]
        >>> endpoint("GET", "/api/now/table/x").of_version("v1")
        False
        """
        newest = "v2" if self.path.startswith("now/") else version
        return version == (self.version or newest)

    @property
    def table(self) -> str:
        """The table of a request to an API that has one in its path, or ``''``."""
        parts = self.path.split("/", 3)
        return parts[2] if len(parts) > 2 and "/".join(parts[:2]) in WITH_TABLE else ""

    def fits(self, resource: str) -> bool:
        """Tell whether a template, as ``resource_path`` gives it, stands for the path.

        >>> endpoint("GET", "/api/now/v1/table/task/1").fits("now/table/{tableName}/{sys_id}")
        True
        """
        own, other = self.path.split("/"), resource.split("/")
        return len(own) == len(other) and all(
            o == p or (o.startswith("{") and o.endswith("}"))
            for p, o in zip(own, other, strict=True)
        )


def endpoint(method: str, path: str) -> Endpoint:
    """Return what a request with a normal path asks for.

    >>> wanted = endpoint("GET", "/api/now/v2/table/incident")
    >>> wanted.path, wanted.version, wanted.table
    ('now/table/incident', 'v2', 'incident')
    """
    if not path.startswith("/api/"):
        return Endpoint(method, "", "", path)
    segments = path[5:].split("/")
    version = ""
    if len(segments) > 1 and _VERSION.fullmatch(segments[1]):
        version = segments.pop(1)
    return Endpoint(method, "/".join(segments), version, path)


def resource_path(text: str) -> str:
    """Return a resource as rules give it in the form of ``Endpoint.path``.

    >>> resource_path("/now/v2/table/{tableName}"), resource_path("/api/now/table")
    ('now/table/{tableName}', 'now/table')
    """
    text = text.strip().strip("/")
    bare = text.removeprefix("api/")
    return endpoint("", f"/api/{bare}").path if bare else ""


class ApiNames:
    """From what a rule says to the path of an API, and from a path to what people call it."""

    def __init__(self, services: Mapping[str, tuple[str, str]]) -> None:
        """``services`` are path and name of each scripted service by sys_id."""
        self._services = services
        self._names = {**dict(services.values()), **APIS}
        self._paths = {name.lower(): path for path, name in APIS.items()}

    def path(self, given: str) -> str:
        """Return the path of an API by path, name or sys_id; ``''`` where it cannot be one."""
        given = given.strip()
        if _SYS_ID.fullmatch(given):
            return self._services.get(given, ("", ""))[0]
        if given.lower() in self._paths:
            return self._paths[given.lower()]
        path = resource_path(given)
        return path if _API.fullmatch(path) else ""

    def called(self, wanted: Endpoint) -> str:
        """Return the name of the API that a request goes to, else its first two segments."""
        known = [path for path in self._names if wanted.within(path)]
        if known:
            return self._names[max(known, key=len)]
        return "/".join(wanted.path.split("/")[:2])

    def advice(self, given: str) -> str:
        """Return what to say to a name that leads nowhere."""
        near = did_you_mean(given, [*APIS, *APIS.values()])
        return near or "Give a path such as now/table, or the sys_id of a scripted service."


def load_api_names(transaction: Transaction, dictionary: Dictionary) -> ApiNames:
    """Read the scripted services, active or not: a rule stays about an API that rests."""
    if _DEFINITIONS not in dictionary:
        return ApiNames({})
    sql = Statements("midspan.security", "inbound", transaction.dialect)
    rows = transaction.rows(sql["services"])
    return ApiNames(
        {
            sys_id: (resource_path(uri or f"{space or 'global'}/{service or sys_id}"), name or "")
            for sys_id, uri, space, service, name in rows
        }
    )
