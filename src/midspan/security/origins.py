"""Which pages of other sites a browser lets call an API: the rules of ``sys_cors_rule``. Pure.

No rule, no permission. What a rule permits is told to the browser for the one origin that asked,
never as ``*``, and credentials only where the rule names one origin.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Struct

from midspan.dictionary import Dictionary
from midspan.security.endpoints import ApiNames, Endpoint, load_api_names
from midspan.storage import Statements, Transaction

TABLE = "sys_cors_rule"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?"
_DOMAIN = re.compile(
    rf"https?://(?:(?P<wild>\*\.)?(?P<host>{_LABEL}(?:\.{_LABEL})*)|\[[0-9a-f:]+\])"
    r"(?::[0-9]{1,5})?"
)
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_ANY = "*"


class OriginRule(Struct, frozen=True, kw_only=True):
    """One active rule."""

    sys_id: str
    domain: str
    """Lower case: ``https://app.example.com``, or ``https://*.example.com`` for all below it."""
    api: str = ""
    """Path of an API, or empty for ``resource``."""
    resource: str = ""
    """A path outside the APIs, as it is."""
    methods: frozenset[str] = frozenset()
    headers: tuple[str, ...] = ()
    """Request headers that are permitted, lower case; ``*`` for all."""
    exposed: tuple[str, ...] = ()
    credentials: bool = False
    max_age: int = 0
    """Seconds that a browser may remember the permission."""

    @property
    def wild(self) -> bool:
        """Whether the rule is for all sites below a domain."""
        return "://*." in self.domain

    def covers(self, wanted: Endpoint) -> bool:
        """Tell whether the rule is about what a request asks for."""
        return wanted.within(self.api) if self.api else wanted.raw == self.resource

    def admits(self, origin: str) -> bool:
        """Tell whether the rule is for an origin; a domain's own site is not below it.

        >>> rule = OriginRule(sys_id="1", domain="https://*.example.com")
        >>> [rule.admits(f"https://{host}") for host in ("a.b.example.com", "example.com")]
        [True, False]
        """
        if not self.wild:
            return origin == self.domain
        scheme, _, suffix = self.domain.partition("*")
        return (
            origin.startswith(scheme)
            and origin.endswith(suffix)
            and len(origin) > len(scheme) + len(suffix)
            and _DOMAIN.fullmatch(origin) is not None
        )

    def permits(self, headers: Iterable[str]) -> bool:
        """Tell whether a request may carry these headers."""
        return _ANY in self.headers or all(name in self.headers for name in headers)

    @property
    def with_credentials(self) -> bool:
        """Whether a browser may add what it holds for this instance: never for many sites."""
        return self.credentials and not self.wild


class OriginRules:
    """All active rules."""

    def __init__(self, rules: Iterable[OriginRule] = ()) -> None:
        # Vendor: an exact domain wins, then the closest pattern; then the API that says most.
        self._rules = sorted(
            rules,
            key=lambda r: (r.wild, -len(r.domain), -len(r.api or r.resource), r.sys_id),
        )

    def __bool__(self) -> bool:
        return bool(self._rules)

    def find(self, origin: str, methods: Iterable[str], wanted: Endpoint) -> OriginRule | None:
        """Return the rule that lets an origin send ``methods`` there, or None.

        The domain and API that fit best decide; rules that share both add up.
        """
        wished, origin = set(methods), origin.lower()
        best: tuple[str, str] | None = None
        for rule in self._rules:
            if not rule.admits(origin) or not rule.covers(wanted):
                continue
            place = (rule.domain, rule.api or rule.resource)
            if best is None:
                best = place
            if place == best and wished <= rule.methods:
                return rule
        return None


def problem(domain: str, *, credentials: bool) -> str | None:
    """Return what is wrong with a rule's domain, or None.

    >>> problem("https://*.com.au", credentials=False)
    >>> problem("http://localhost:3000", credentials=True)
    >>> [problem(d, credentials=False) is None for d in ("*", "https://*com", "http://*.168.1.126")]
    [False, False, False]
    """
    match = _DOMAIN.fullmatch(domain.lower())
    if match is None:
        return (
            f"{domain!r} is no domain: give https://app.example.com, or https://*.example.com for"
            " all sites below it; * stands only there, and a path or slash at the end does not"
        )
    if match["wild"] and match["host"].rpartition(".")[2].isdecimal():
        return f"{domain!r}: an IP address has to be given whole"
    if match["wild"] and credentials:
        return f"{domain!r}: with Access-Control-Allow-Credentials the domain must not have a *"
    return None


def load_origins(transaction: Transaction, dictionary: Dictionary) -> OriginRules:
    """Read the active rules; one that is about nothing, or for nobody, is left out."""
    if TABLE not in dictionary:
        return OriginRules()
    sql = Statements("midspan.security", "inbound", transaction.dialect)
    rows = transaction.rows(sql["cors_rules"], (transaction.dialect.name != "sqlite" or 1,))
    names = load_api_names(transaction, dictionary) if rows else ApiNames({})
    rules = (_rule(row, names) for row in rows)
    return OriginRules(rule for rule in rules if rule.api or rule.resource)


def _rule(row: tuple[object, ...], names: ApiNames) -> OriginRule:
    sys_id, domain, api, by_path, path, allowed, exposed, credentials, age, *methods = row
    return OriginRule(
        sys_id=str(sys_id),
        domain=str(domain or "").lower(),
        api="" if by_path else names.path(str(api or "")),
        resource=f"/{str(path or '').strip().strip('/')}" if by_path and path else "",
        methods=frozenset(name for name, on in zip(METHODS, methods, strict=True) if on),
        headers=tuple(name.lower() for name in _listed(allowed)),
        exposed=_listed(exposed),
        credentials=bool(credentials),
        max_age=max(int(str(age or 0)), 0),
    )


def _listed(text: object) -> tuple[str, ...]:
    names = (part.strip() for part in str(text or "").split(","))
    return tuple(name for name in names if _TOKEN.fullmatch(name))
