"""Makes requests that mean harm: nasty values, twisted paths, poisoned bodies. Pure, seeded."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Sequence
from functools import cache
from urllib.parse import quote, quote_from_bytes

from msgspec import Struct

RECORD = "b" * 32
"""The one record whose id is guessed right."""

NASTY = (
    "",
    "'",
    '"',
    "\\",
    "';DROP TABLE sys_user;--",
    "' OR '1'='1",
    "1;SELECT pg_sleep(9)",
    '") OR 1=1--',
    "/*",
    "%",
    "_",
    "%s%s%n",
    "$1",
    ":x",
    "?",
    "{0.__class__}",
    "${7*7}",
    "{{7*7}}",
    "<script>alert(1)</script>",
    "../../../../etc/passwd",
    "..\\..\\x",
    "file:///etc/passwd",
    "http://169.254.169.254/",
    "javascript:gs.sleep(99999)",
    "javascript:gs.daysAgoStart(99999999999999999999)",
    "javascript:while(1);",
    "\x00",
    "a\x00b",
    "\r\nX-Injected: 1",
    "\x1b[2J",
    "\u202e",
    "\ufeff",
    "\ufffe",
    "\u0130\u0131\u017f\u212a",
    "🏴" * 50,
    "e\u0301" * 200,
    "NaN",
    "Infinity",
    "-1",
    "0",
    "1e999",
    "99999999999999999999999",
    "9" * 5000,
    "٣",
    "²",
    "0x10",
    "true",
    "null",
    "undefined",
    "[]",
    "{}",
    "*",
    "a" * 10_000,
    "^" * 500,
    "^OR" * 500,
    "^NQ" * 500,
    "(" * 500,
    "a.b.c.d.e.f.g.h.i.j.k.l.m",
    "parent." * 100 + "parent",
    "0000-00-00",
    "9999-12-31 23:59:59",
    "10000-01-01",
    "2026-02-30 25:61:61",
    "-1970-01-01 00:00:00",
)
QUERIES = (
    "active=true^ORDERBYnumber",
    "numberLIKE'%",
    "short_descriptionSTARTSWITH\\",
    "sys_created_onBETWEENjavascript:gs.daysAgoStart(9)@javascript:gs.daysAgoEnd(-9)",
    "sys_created_onRELATIVEGT@hour@ago@999999999999",
    "sys_created_onRELATIVEGT@year@ahead@3",
    "sys_created_onDATEPARTx@javascript:gs.datePart('a','b','EE')",
    "opened_at>9999-99-99",
    "priorityBETWEENx@y@z",
    "priorityIN1,2,,',\"",
    "sys_idIN" + ",".join("a" * 32 for _ in range(2_000)),
    "caller_id.manager.manager.manager.manager.nameLIKEx",
    "caller_idDYNAMIC90d1921e5f510100a9ad2572f2b477fe",
    "123TEXTQUERY321=x y'z",
    "RLQUERYtask_ci.task,>0^ENDRLQUERY",
    "JOINincident.caller_id=sys_user.sys_id!active=true",
    "GROUPBYstate^ORDERBYDESCnosuch",
    "state=1^ORstate=2^NQstate=3^EQ",
    "state!=^state=NULL^stateISEMPTY^stateISNOTEMPTY^stateANYTHING^stateEMPTYSTRING",
    "GOTOnumber>=INC^stateSAMEASpriority^stateNSAMEASpriority^impactGT_FIELDurgency",
    "sys_idINSTANCEOFtask^sys_class_nameINSTANCEOFnosuch",
)
FIELDS = ("short_description", "number", "state", "active", "opened_at", "sys_created_on",
          "caller_id", "caller_id.name", "assigned_to.manager.email", "watch_list", "sys_id",
          "business_duration", "work_notes", "user_password", "sys_class_name", "sys_tags",
          "size_bytes", "cost", "name", "sys_mod_count", "nosuch")  # fmt: skip
OPERATORS = ("=", "!=", ">", ">=", "<", "<=", "IN", "NOT IN", "LIKE", "NOT LIKE", "STARTSWITH",
             "ENDSWITH", "BETWEEN", "SAMEAS", "NSAMEAS", "GT_FIELD", "LT_OR_EQUALS_FIELD", "ON",
             "NOTON", "MORETHAN", "LESSTHAN", "RELATIVEGT", "RELATIVELT", "INSTANCEOF", "DYNAMIC",
             "VALCHANGES", "CHANGESFROM", "MATCH_PAT", "MATCH_RGX", "ISEMPTY")  # fmt: skip
TRICKS: tuple[Callable[[str], str], ...] = (
    lambda path: path + ";x.css",
    lambda path: path.replace("/api", "/api;a=b", 1),
    lambda path: "/healthz/%2e%2e" + path,
    lambda path: "/healthz/.." + path,
    lambda path: "/healthz%2f.." + path,
    lambda path: "/login/%252e%252e" + path,
    lambda path: "/" + path,
    lambda path: path.replace("/", "//"),
    lambda path: path.replace("/", "/./"),
    lambda path: path.replace("/", "%2f"),
    lambda path: path.replace("/", "%5c"),
    lambda path: path.replace("/", "\\"),
    lambda path: path + "%00",
    lambda path: path + "%00.png",
    lambda path: path + "/%c0%ae%c0%ae/x",
    lambda path: path + "%ff",
    lambda path: path + "/.",
    lambda path: path + "//",
    lambda path: path + "?",
    lambda path: path + "%3fx=1",
    lambda path: path + "%23",
    lambda path: path + "%20",
    lambda path: path + ".json",
    lambda path: path + "~",
    lambda path: path.upper(),
    lambda path: quote(path, safe=""),
    lambda path: quote(quote(path, safe="/"), safe="/").replace("a", "%61", 1),
    lambda path: path.replace("a", "%2561", 1),
    lambda path: path.replace("/now/", "/now/v3/", 1),
    lambda path: path.replace("/now/", "/NOW/", 1),
    lambda path: path + "/" + "x" * 5_000,
    lambda path: path + "/x" * 2_000,
    lambda path: "http://elsewhere.example" + path,
    lambda path: path.lstrip("/"),
)
DTD = (
    '<!DOCTYPE r [<!ENTITY a "ha">{}]><request><entry><short_description>&{};</short_description>'
    "</entry></request>"
)
ENVELOPE = (
    '<!DOCTYPE r [<!ENTITY a "ha">{}]><soapenv:Envelope'
    ' xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body><insert>'
    "<short_description>&{};</short_description></insert></soapenv:Body></soapenv:Envelope>"
)
UPDATES = (
    '<!DOCTYPE r [<!ENTITY a "ha">{}]><unload><sys_update_xml action="INSERT_OR_UPDATE">'
    "<payload>&{};</payload></sys_update_xml></unload>"
)
LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "ha"}">' for n in range(12))
XML = (
    DTD.format(LAUGHS, "l11"),
    DTD.format('<!ENTITY x SYSTEM "file:///etc/passwd">', "x"),
    DTD.format('<!ENTITY x SYSTEM "http://127.0.0.1:9/x">', "x"),
    ENVELOPE.format(LAUGHS, "l11"),
    ENVELOPE.format('<!ENTITY x SYSTEM "file:///etc/passwd">', "x"),
    UPDATES.format(LAUGHS, "l11"),
    ENVELOPE.split("]>", 1)[1].replace("&{};", "x" * 70_000),
    '<!DOCTYPE r SYSTEM "http://127.0.0.1:9/x.dtd"><r/>',
    '<!DOCTYPE r [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]><r/>',
    '<?xml version="1.0" encoding="UTF-7"?><r>+ADw-</r>',
    '<?xml version="1.0" encoding="nosuch"?><r/>',
    '<r xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="file:///etc/passwd"/></r>',
    '<?xml-stylesheet href="x"?><request><entry><state>2</state></entry></request>',
    "<request><entry>" + "<state>1</state>" * 500 + "</entry></request>",
    "<r " + " ".join(f'a{n}="x"' for n in range(2_000)) + "/>",
    "<r>&#0;&#xD800;</r>",
    "<r>",
    "<>",
    "\ufeff<r/>",
)
JSONS = (
    '{"short_description":"a","short_description":"b"}',
    '{"short_description":' * 50 + "1" + "}" * 50,
    '{"impact":1e999,"urgency":-1e999,"x":NaN}',
    '{"short_description":{"a":18446744073709551616,"b":1e400}}',
    '{"short_description":"\\ud800","\\udfff":"x"}',
    '{"short_description":"\\u0000"}',
    '{"state":' + "9" * 5_000 + "}",
    '{"state":-' + "9" * 40 + "}",
    '{"sys_id":"' + "x" * 5_000 + '"}',
    '{"sys_id":["a"],"sys_class_name":"sys_user"}',
    '{"sys_class_name":"' + "x" * 300 + '","number":null}',
    '{"opened_at":"9999999-01-01 00:00:00","due_date":{"display_value":"x"}}',
    "{'urgency':'1',}",
    "{sysparm_quantity: 1}",
    '[{"a":1},2]',
    "[" * 99 + "]" * 99,
    '"text"',
    "7",
    "tru",
    "",
    "\ufeff{}",
    '{"a":' + "[" * 60,
    '{"' + "k" * 70_000 + '":1}',
)
FORMS = (
    "grant_type=password&username=admin&password=%00",
    "grant_type=client_credentials&client_id='&client_secret=%ff",
    "grant_type=authorization_code&code=x&code=y&redirect_uri=%0d%0a",
    "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=e30.e30.",
    "grant_type=refresh_token&refresh_token=" + "x" * 5_000,
    "user_name=admin&user_password=%27+OR+1%3D1--&to=//evil.example",
    "token=%00&password=aaaaaaaaaaaaaa&again=aaaaaaaaaaaaaa",
    "answer=allow&client_id=x&redirect_uri=javascript:alert(1)",
    "&".join(f"a{n}=1" for n in range(1_100)),
    "%=%&=&&==",
)
HEADERS = (
    ("accept", "application/xml"),
    ("accept", "text/html"),
    ("accept", "image/png"),
    ("accept", "application/json;q=nan, */*;q=-1"),
    ("accept", "application/json;q=" + "9" * 5_000),
    ("accept", ",;,=" * 200),
    ("content-type", "application/xml; charset=utf-16"),
    ("content-type", "multipart/form-data"),
    ("content-type", "multipart/form-data; boundary="),
    ("content-type", "text/" + "x" * 3_000),
    ("content-encoding", "gzip"),
    ("content-length", "-1"),
    ("content-length", "9" * 5_000),
    ("content-length", "1e3"),
    ("content-length", "²"),
    ("transfer-encoding", "chunked, gzip"),
    ("expect", "100-continue"),
    ("host", "evil.example/x?y"),
    ("host", ""),
    ("x-forwarded-host", "evil.example"),
    ("x-forwarded-for", "' OR 1=1"),
    ("x-original-url", "/api/now/table/sys_user"),
    ("x-rewrite-url", "/api/now/table/sys_user"),
    ("range", "bytes=0-,-1"),
    ("range", "bytes=" + "9" * 18 + "-"),
    ("if-range", '"x"'),
    ("x-no-response-body", "true"),
    ("x-midspan-strict", "true"),
    ("x-batchrequest-max-output-size", "-1"),
    ("x-usertoken", "'"),
    ("cookie", "JSESSIONID=x; JSESSIONID=y"),
    ("cookie", "JSESSIONID=" + "A" * 4_000),
    ("cookie", '=;;="'),
    ("x-midspan-mid", "' OR 1=1"),
    ("x-midspan-generation", "9" * 400),
    ("x-midspan-timestamp", "nan"),
    ("x-midspan-signature", "²"),
    ("origin", "https://evil.example"),
    ("sec-fetch-site", "cross-site"),
)
BAD_CREDENTIALS = (
    "Basic",
    "Basic =",
    "Basic " + "A" * 5_000,
    "Basic YWRtaW46",
    "Basic Og==",
    "Basic YWRtaW4AOng=",
    "Bearer",
    "Bearer ' OR 1=1--",
    "Bearer " + "x" * 5_000,
    "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.",
    "Digest username=admin",
    "Negotiate AAAA",
    "\xff\xfe",
)
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "FOO")
_WITH_BODY = {"POST", "PUT", "PATCH"}
MEGABYTE = 1024 * 1024
GZIP = b"\x1f\x8b"
"""What its bytes begin with."""


class Target(Struct, frozen=True):
    """A route: its methods, its path with ``{name}`` segments, the parameters it knows."""

    methods: tuple[str, ...]
    path: str
    parameters: tuple[str, ...]
    weight: float = 1.0


class Attack(Struct, frozen=True):
    """One request as it goes to the application, and what sort of harm it means."""

    kind: str
    user: str
    method: str
    path: bytes
    query: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""


class Attacker:
    """Makes the attack with a number; the same one for the same seed and number."""

    def __init__(self, targets: Sequence[Target], tables: Sequence[str], seed: int) -> None:
        self._targets = targets
        self._weights = [target.weight for target in targets]
        self._tables = tables
        self._seed = seed

    def attack(self, number: int) -> Attack:
        """Return one request."""
        rng = random.Random(f"{self._seed}/{number}")  # noqa: S311 - no secret
        kinds = ("values", "paths", "override", "bodies", "queries", "credentials", "heavy")
        kind = rng.choices(kinds, (40, 15, 8, 20, 12, 4, 1))[0]
        target, method = self._aim(rng, kind)
        path = self._path(rng, target, plain=kind != "values" or rng.random() < 0.7)
        query = self._query(rng, target)
        headers = self._headers(rng)
        body, media = self._body(rng) if method in _WITH_BODY else (b"", "")
        user = rng.choices(("admin", "ann", "nobody"), (6, 3, 2))[0]
        raw = quote_from_bytes(path.encode("utf-8", "surrogatepass"), safe="/").encode()
        match kind:
            case "paths":
                twisted = rng.choice(TRICKS)(path)
                raw = twisted.encode("latin-1", "replace")
            case "override":
                method = rng.choice(("POST", "GET", "POST"))
                headers.append(("x-http-method-override", rng.choice((*METHODS, "' --", "get "))))
            case "queries":
                query = self._encoded_query(rng, query)
            case "credentials":
                user = "bad"
                headers.append(("authorization", rng.choice(BAD_CREDENTIALS)))
            case "heavy":
                query, body, media = _heavy(rng, query)
                method = "POST" if body else method
                if body[:2] == GZIP and rng.random() < 0.9:
                    headers.append(("content-encoding", "gzip"))
        if media:
            headers.append(("content-type", media))
        return Attack(
            kind=kind,
            user=user,
            method=method,
            path=raw,
            query=query,
            headers=tuple(
                (name.encode(), value.encode("latin-1", "replace")) for name, value in headers
            ),
            body=body,
        )

    def _aim(self, rng: random.Random, kind: str) -> tuple[Target, str]:
        """Return a route and a method, mostly one that it has and that takes such an attack."""
        own = rng.random() < 0.95
        while True:
            target = rng.choices(self._targets, self._weights)[0]
            taking = sorted(_WITH_BODY & set(target.methods))
            if kind == "bodies" and taking:
                return target, rng.choice(taking)
            if kind == "queries" and "sysparm_query" in target.parameters:
                return target, "GET" if own else rng.choice(METHODS)
            if kind not in ("bodies", "queries"):
                return target, rng.choice(target.methods if own else METHODS)

    def _path(self, rng: random.Random, target: Target, *, plain: bool) -> str:
        parts = []
        for part in target.path.split("/"):
            name = part.strip("{}").partition(":")[0]
            if "{" not in part:
                parts.append(part)
            elif name == "table" and rng.random() < 0.8:
                parts.append(rng.choice(self._tables))
            elif plain:
                parts.append(rng.choice((RECORD, "x", "1")))
            else:
                parts.append(_nasty(rng))
        return "/".join(parts) or "/"

    def _query(self, rng: random.Random, target: Target) -> bytes:
        pairs = []
        for _ in range(rng.randrange(4)):
            known = target.parameters and rng.random() < 0.8
            name = rng.choice(target.parameters) if known else _nasty(rng)
            if rng.random() < 0.1:
                name += rng.choice(("", "[]", ".x", "'", "\x00"))
            value = rng.choice(("true", "number", "5")) if rng.random() < 0.5 else _nasty(rng)
            pairs.append(f"{_encoded(name)}={_encoded(value)}")
        text = "&".join(pairs).encode()
        ending = rng.choice((b"&%", b"&%zz", b"&=&", b"&\xff\xfe=\x80"))
        return text + ending if rng.random() < 0.1 else text

    def _encoded_query(self, rng: random.Random, query: bytes) -> bytes:
        terms = [rng.choice(QUERIES) for _ in range(rng.randrange(3))]
        terms += [
            f"{rng.choice(FIELDS)}{rng.choice(OPERATORS)}{_nasty(rng)}"
            for _ in range(rng.randrange(1, 3))
        ]
        name = rng.choice(("sysparm_query", "sysparm_query", "sysparm_query", "sysparm_having"))
        text = _encoded(rng.choice(("^", "^OR", "^NQ")).join(terms))
        return f"{name}={text}&".encode() + query

    def _headers(self, rng: random.Random) -> list[tuple[str, str]]:
        return [rng.choice(HEADERS) for _ in range(rng.choice((0, 0, 0, 0, 0, 1, 2)))]

    def _body(self, rng: random.Random) -> tuple[bytes, str]:
        match rng.choice(("json", "json", "json", "xml", "form", "multipart", "noise", "batch")):
            case "json":
                text = rng.choice(JSONS) if rng.random() < 0.4 else _object(rng)
                return text.encode("utf-8", "surrogatepass"), "application/json"
            case "xml":
                return rng.choice(XML).encode(), rng.choice(("application/xml", "text/xml"))
            case "form":
                return rng.choice(FORMS).encode(), "application/x-www-form-urlencoded"
            case "multipart":
                return _multipart(rng), "multipart/form-data; boundary=x"
            case "batch":
                return self._batch(rng), "application/json"
        return rng.randbytes(rng.randrange(2_000)), rng.choice(("application/json", "text/csv"))

    def _batch(self, rng: random.Random) -> bytes:
        parts = [
            {
                "id": rng.choice((n, _nasty(rng), None, {"a": 1})),
                "method": rng.choice((*METHODS, _nasty(rng))),
                "url": rng.choice(TRICKS)(
                    self._path(rng, rng.choice(self._targets), plain=rng.random() < 0.5)
                ),
                "headers": [{"name": name, "value": value} for name, value in self._headers(rng)],
                "body": rng.choice(("", "e30=", "////", "=", _nasty(rng))),
            }
            for n in range(rng.randrange(4))
        ]
        return json.dumps({"batch_request_id": _nasty(rng), "rest_requests": parts}).encode()


def _nasty(rng: random.Random) -> str:
    if rng.random() < 0.75:
        return rng.choice(NASTY)
    return "".join(chr(rng.randrange(1, 0xD7FF)) for _ in range(rng.randrange(1, 30)))


def _encoded(text: str) -> str:
    return quote(text.encode("utf-8", "surrogatepass"), safe="")


def _object(rng: random.Random) -> str:
    names = ("short_description", "state", "caller_id", "opened_at", "active", "watch_list",
             "sys_id", "url", "name", "file_name", "user", "flow", "record", "files", "purpose",
             "user_name", "roles", "table", "query", "work_notes", "business_duration")  # fmt: skip
    values: tuple[object, ...] = (
        _nasty(rng), rng.random() * 1e30, rng.randrange(-(2**70), 2**70), True, None, [], {},
        [_nasty(rng)], {"value": _nasty(rng)}, {"link": _nasty(rng)}, {"display_value": [1]},
    )  # fmt: skip
    found = {rng.choice(names): rng.choice(values) for _ in range(rng.randrange(6))}
    return json.dumps(found, ensure_ascii=rng.random() < 0.5)


def _multipart(rng: random.Random) -> bytes:
    parts = []
    for name in rng.sample(
        ("table_name", "table_sys_id", "uploadFile", "x", "encryption_context"), 4
    ):
        value = {"table_name": "incident", "table_sys_id": RECORD}.get(name, _nasty(rng))
        file = f'; filename="{rng.choice(("a.txt", _nasty(rng)))}"' if name == "uploadFile" else ""
        parts.append(
            f'--x\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n{value}\r\n'
        )
    end = rng.choice(("--x--\r\n", "--x\r\n", "", "--x--" * 10))
    return ("".join(parts) + end).encode("utf-8", "surrogatepass")


@cache
def _bomb() -> bytes:
    return gzip.compress(b"0" * (64 * MEGABYTE), 9)


@cache
def _packed_deep() -> bytes:
    return gzip.compress(b"[" * (4 * MEGABYTE), 9)


def _heavy(rng: random.Random, query: bytes) -> tuple[bytes, bytes, str]:
    """Return query, body and its type: one that is large, deep, or becomes so."""
    depth = 100_000
    choices: tuple[Callable[[], tuple[bytes, bytes, str]], ...] = (
        lambda: (query, b"[" * depth + b"]" * depth, "application/json"),
        lambda: (query, b'{"a":' * depth + b"1" + b"}" * depth, "application/json"),
        lambda: (query, b"[" * depth, "application/json"),
        lambda: (query, b"{'a':" * depth, "application/json"),
        lambda: (query, b"<a>" * depth + b"</a>" * depth, "application/xml"),
        lambda: (query, b"<r>" + b"<a/>" * depth + b"</r>", "application/xml"),
        lambda: (query, _bomb(), rng.choice(("application/json", "application/xml"))),
        lambda: (query, _packed_deep(), "application/json"),
        lambda: (
            query,
            b'{"short_description":"' + b"x" * 3 * MEGABYTE + b'"}',
            "application/json",
        ),
        lambda: (query, b"{" + b'"a":1,' * depth + b'"b":2}', "application/json"),
        lambda: (query, b'{"state":' + b"9" * MEGABYTE + b"}", "application/json"),
        lambda: (query, b" " * (11 * MEGABYTE), "application/json"),
        lambda: (query, b'{"rest_requests":[' + b"{}," * depth + b"{}]}", "application/json"),
        lambda: (b"sysparm_query=" + b"active=true^OR" * (MEGABYTE // 14), b"", ""),
        lambda: (b"sysparm_query=" + b"a" * MEGABYTE, b"", ""),
        lambda: (b"sysparm_query=sys_idIN" + b"a," * (MEGABYTE // 2), b"", ""),
        lambda: (b"sysparm_query=" + b"state=1^" * (MEGABYTE // 8), b"", ""),
        lambda: (b"sysparm_query=" + b"ORDERBYnumber^" * (MEGABYTE // 14), b"", ""),
        lambda: (b"sysparm_fields=" + b"number," * (MEGABYTE // 7), b"", ""),
        lambda: (b"sysparm_fields=" + b"parent." * (MEGABYTE // 7) + b"number", b"", ""),
        lambda: (b"sysparm_query=" + b"parent." * (MEGABYTE // 7) + b"number=1", b"", ""),
        lambda: (b"sysparm_query=ORDERBY" + b"parent." * (MEGABYTE // 7) + b"number", b"", ""),
        lambda: (b"sysparm_group_by=" + b"parent." * (MEGABYTE // 7) + b"number", b"", ""),
        lambda: (b"sysparm_group_by=" + b"state,parent," * (MEGABYTE // 13), b"", ""),
        lambda: (b"parent." * 50_000 + b"number=1&" + b"parent." * 50_000 + b"state=2", b"", ""),
        lambda: (b"sysparm_having=" + b"count^state^>^1," * (MEGABYTE // 16), b"", ""),
        lambda: (b"&".join(b"a%d=1" % n for n in range(100_000)), b"", ""),
    )
    return rng.choice(choices)()
