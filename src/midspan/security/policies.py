"""Which kinds of authentication may reach which API: ``sys_api_access_policy`` and its tables.

Source: rest-api 8.8 and the vendor's pages on API access policies. The policy that says most about
a request decides, one for an API always before a global one. It lists authentication profiles: one
of them has to fit how the sender proved who he is, and all authentication policies of that profile
have to hold. An authentication policy holds when one of its conditions does; one without conditions
never does. A policy that lists no profile restricts nothing.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from msgspec import Struct

from midspan.dictionary import Dictionary
from midspan.security.actor import Actor
from midspan.security.endpoints import Endpoint, load_api_names, resource_path
from midspan.storage import Statements, Transaction

TABLE = "sys_api_access_policy"
TABLES = frozenset(
    {
        TABLE, "sys_auth_profile_mapping", "inbound_auth_profile", "std_http_auth", "http_key_auth",
        "auth_policy", "auth_policy_mapping", "auth_policy_condition", "auth_filter_criteria",
        "ip_filter_criteria", "role_filter_criteria", "group_filter_criteria", "sys_user_role",
        "sys_ws_definition",
    }
)  # fmt: skip
"""What policies are read from."""
KINDS = {"basic_auth": "basic", "oauth": "oauth", "certificate": "certificate"}
"""The types of ``std_http_auth`` and what a request is identified by."""
_KEY_PROFILE, _KEY = "http_key_auth", "apikey"
_SCHEMES = {"basic": "BASIC", "oauth": "BEARER"}
_METHOD, _RESOURCE, _VERSION = 1, 2, 4
_RANKS = {
    _METHOD | _RESOURCE | _VERSION: 1,
    _METHOD | _RESOURCE: 2,
    _RESOURCE | _VERSION: 3,
    _RESOURCE: 4,
    _METHOD | _VERSION: 5,
    _METHOD: 6,
    _VERSION: 7,
    0: 8,
}
"""The vendor's order, by what a policy names; a global one comes after all of these."""
_GLOBAL = 10

Range: TypeAlias = tuple[int, int, int]
"""Version of IP, first and last address as numbers."""


class Sender(Struct, frozen=True):
    """Who sends a request, from where, and how he proved it."""

    actor: Actor
    address: str
    kind: str
    """``basic``, ``oauth``, ``apikey`` or ``certificate``."""
    client: str = ""
    """With ``oauth``: the sys_id of the client that the token was issued to."""


class Criteria(Struct, frozen=True):
    """Addresses, roles or groups; who is in one of them fits. Without any nobody does."""

    ranges: tuple[Range, ...] = ()
    roles: frozenset[str] = frozenset()
    """Names. Administrators hold only those that they were given."""
    groups: frozenset[str] = frozenset()

    def fit(self, sender: Sender) -> bool:
        """Tell whether a sender fits."""
        return (
            bool(self.roles & sender.actor.roles)
            or bool(self.groups & sender.actor.groups)
            or within(sender.address, self.ranges)
        )


_NOBODY_FITS = Criteria()


class Condition(Struct, frozen=True):
    """Criteria that have to fit and those that must not; without any it does not hold."""

    all_of: tuple[Criteria, ...] = ()
    none_of: tuple[Criteria, ...] = ()

    def holds(self, sender: Sender) -> bool:
        """Tell whether it holds for a sender."""
        if not self.all_of and not self.none_of:
            return False
        return all(each.fit(sender) for each in self.all_of) and not any(
            each.fit(sender) for each in self.none_of
        )


class Profile(Struct, frozen=True):
    """One way to prove who one is, and what has to hold besides."""

    kind: str
    """As ``Sender.kind``; empty: an inactive profile, which fits nobody."""
    client: str = ""
    policies: tuple[tuple[Condition, ...], ...] = ()

    def fits(self, sender: Sender) -> bool:
        """Tell whether it lets a sender through."""
        return (
            bool(self.kind)
            and self.kind == sender.kind
            and self.client in ("", sender.client)
            and all(any(each.holds(sender) for each in policy) for policy in self.policies)
        )


class AccessPolicy(Struct, frozen=True, kw_only=True):
    """One active policy that lists profiles, the one that was added last first."""

    sys_id: str
    profiles: tuple[Profile, ...]
    api: str = ""
    """Path of the API; empty for a global policy."""
    method: str = ""
    version: str = ""
    resource: str = ""
    tables: frozenset[str] = frozenset()
    every_challenge: bool = False

    @property
    def rank(self) -> tuple[int, bool]:
        """Its place among others for the same request, the lowest decides."""
        if not self.api:
            return _GLOBAL - bool(self.method), False
        named = (
            (_METHOD if self.method else 0)
            | (_RESOURCE if self.resource else 0)
            | (_VERSION if self.version else 0)
        )
        return _RANKS[named], not self.tables

    def covers(self, wanted: Endpoint) -> bool:
        """Tell whether it is about what a request asks for."""
        if self.method not in ("", "GET" if wanted.method == "HEAD" else wanted.method):
            return False
        if not self.api:
            return True
        return (
            wanted.within(self.api)
            and (not self.version or wanted.of_version(self.version))
            and (not self.resource or wanted.fits(self.resource))
            and (not self.tables or wanted.table in self.tables)
        )


class AccessPolicies:
    """All active policies that list profiles."""

    def __init__(self, policies: Iterable[AccessPolicy] = ()) -> None:
        # Of two equal ones the longer path says more.
        self._policies = sorted(policies, key=lambda p: (p.rank, -len(p.api), p.sys_id))

    def __bool__(self) -> bool:
        return bool(self._policies)

    def permit(self, wanted: Endpoint, sender: Sender) -> bool:
        """Tell whether a sender may reach what he asks for."""
        deciding = self._deciding(wanted)
        return not deciding or any(
            profile.fits(sender) for policy in deciding for profile in policy.profiles
        )

    def challenges(self, wanted: Endpoint, *, all_of_them: bool) -> tuple[str, ...]:
        """Return the schemes that a 401 answer names: the last profile's, or each one's."""
        deciding = self._deciding(wanted)
        schemes = [_SCHEMES[p.kind] for d in deciding for p in d.profiles if p.kind in _SCHEMES]
        found = tuple(dict.fromkeys(schemes))
        return found if all_of_them or any(d.every_challenge for d in deciding) else found[:1]

    def _deciding(self, wanted: Endpoint) -> list[AccessPolicy]:
        """Return the policies of the best rank; those that say the same of the same add up."""
        found = [policy for policy in self._policies if wanted.path and policy.covers(wanted)]
        best = [(policy.rank, policy.api) for policy in found[:1]]
        return [policy for policy in found if (policy.rank, policy.api) in best]


def address_ranges(text: str) -> tuple[Range, ...]:
    """Read addresses, ``first-last`` and ``network/bits``, with commas or line breaks between them.

    >>> [last - first for _, first, last in address_ranges("192.0.2.7, 192.0.2.0-192.0.2.255")]
    [0, 255]

    Raises:
        ValueError: one of them is none of that; the message says which.
    """
    parts = [part.strip() for part in text.replace("\n", ",").split(",")]
    return tuple(_range(part) for part in parts if part)


def _range(part: str) -> Range:
    if "/" in part:
        network = ipaddress.ip_network(part, strict=False)
        return network.version, int(network[0]), int(network[-1])
    first, _, last = part.partition("-")
    low = ipaddress.ip_address(first.strip())
    high = ipaddress.ip_address(last.strip() or first.strip())
    if low.version != high.version or int(low) > int(high):
        raise ValueError(f"{part!r} begins after it ends")
    return low.version, int(low), int(high)


def within(address: str, ranges: tuple[Range, ...]) -> bool:
    """Tell whether an address is in one of the ranges; what is no address is in none."""
    if not ranges:
        return False
    try:
        known = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(known, ipaddress.IPv6Address) and known.ipv4_mapped:
        known = known.ipv4_mapped
    return any(v == known.version and a <= int(known) <= b for v, a, b in ranges)


def load_policies(transaction: Transaction, dictionary: Dictionary) -> AccessPolicies:
    """Read the active policies with everything that belongs to them."""
    if not all(table in dictionary for table in TABLES):
        return AccessPolicies()
    sql = Statements("midspan.security", "inbound", transaction.dialect)
    active = (transaction.dialect.name != "sqlite" or 1,)
    rows = transaction.rows(sql["access_policies"], active)
    if not rows:
        return AccessPolicies()
    profiles: dict[str, list[Profile]] = {}
    conditions = _conditions(transaction, sql, active)
    for policy, *profile in transaction.rows(sql["policy_profiles"]):
        profiles.setdefault(policy, []).append(_profile(profile, conditions))
    names = load_api_names(transaction, dictionary)
    policies = []
    for row in rows:
        sys_id, api, path, everywhere, *about = row
        known = names.path(path or "") or names.path(api or "")
        if sys_id in profiles and (everywhere or known):
            api = "" if everywhere else known
            policies.append(_policy(sys_id, api, about, tuple(profiles[sys_id])))
    return AccessPolicies(policies)


def _policy(sys_id: str, api: str, about: list[Any], profiles: tuple[Profile, ...]) -> AccessPolicy:
    every, methods, method, versions, version, resources, resource, *rest = about
    tables, table_names, challenge = rest
    return AccessPolicy(
        sys_id=sys_id,
        profiles=profiles,
        api=api,
        method="" if every or methods else method or "",
        version="" if every or versions else version or "",
        resource="" if every or resources else resource_path(resource or ""),
        tables=frozenset() if tables else frozenset(_listed(table_names)),
        every_challenge=bool(challenge),
    )


def _profile(row: list[Any], conditions: Mapping[str, dict[str, list[Condition]]]) -> Profile:
    sys_id, table, kind, client, active = row
    if not active:
        return Profile("")
    known = _KEY if table == _KEY_PROFILE else KINDS.get(kind or "", "")
    policies = conditions.get(sys_id, {}).values()
    return Profile(known, client or "", tuple(tuple(each) for each in policies))


def _conditions(
    transaction: Transaction, sql: Statements, active: tuple[object, ...]
) -> dict[str, dict[str, list[Condition]]]:
    """Return the conditions of each active authentication policy of each profile."""
    criteria = _criteria(transaction, sql)
    found: dict[str, dict[str, list[Condition]]] = {}
    for profile, policy, all_of, none_of in transaction.rows(sql["profile_conditions"], active):
        needed = tuple(criteria.get(each, _NOBODY_FITS) for each in _listed(all_of))
        refused = tuple(criteria.get(each) for each in _listed(none_of))
        known = found.setdefault(profile, {}).setdefault(policy, [])
        if None in refused:  # what is gone may have been about anybody
            needed = (_NOBODY_FITS,)
        known.append(Condition(needed, tuple(each for each in refused if each is not None)))
    return found


def _criteria(transaction: Transaction, sql: Statements) -> dict[str, Criteria]:
    sign_in = Statements("midspan.security", "sign_in", transaction.dialect)
    names: dict[str, str] = dict(transaction.rows(sign_in["roles"]))
    found = {}
    for sys_id, table, ranges, roles, groups in transaction.rows(sql["filter_criteria"]):
        match table:
            case "ip_filter_criteria":
                found[sys_id] = Criteria(ranges=_readable(ranges or ""))
            case "role_filter_criteria":
                known = (names.get(role) for role in _listed(roles))
                found[sys_id] = Criteria(roles=frozenset(name for name in known if name))
            case "group_filter_criteria":
                found[sys_id] = Criteria(groups=frozenset(_listed(groups)))
    return found


def _readable(text: str) -> tuple[Range, ...]:
    try:
        return address_ranges(text)
    except ValueError:
        return ()


def _listed(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]
