"""How many requests an hour may bring: the rules of ``sys_rate_limit_rules``. Pure.

Source: rest-api 8.9. Of the rules for the same requests one counts: that for a single user before
those for a role, those before the one for all; of several for roles the lowest. Rules for other
requests (a whole API and one table of it) count beside each other.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from midspan.dictionary import Dictionary
from midspan.security.actor import GUEST, Actor
from midspan.security.endpoints import ApiNames, Endpoint, load_api_names, resource_path
from midspan.security.throttle import network
from midspan.storage import Statements, Transaction

TABLE = "sys_rate_limit_rules"
APPLY_TO = ("user", "role", "all")
"""Strongest first."""
COUNT_BY = ("user", "address", "rule")


class RateRule(Struct, frozen=True, kw_only=True):
    """One active rule; what is empty asks for nothing."""

    sys_id: str
    api: str
    version: str = ""
    method: str = ""
    resource: str = ""
    table: str = ""
    limit: int
    """Requests an hour."""
    apply_to: str = "all"
    user: str = ""
    role: str = ""
    """Name of the role."""
    count_by: str = "user"
    since: str = ""
    """When counting began anew; what was counted before is another count."""

    @property
    def target(self) -> tuple[str, ...]:
        """The requests that it is about, whoever sends them."""
        return self.api, self.version, self.method, self.resource, self.table

    def covers(self, wanted: Endpoint) -> bool:
        """Tell whether it is about what a request asks for."""
        return (
            wanted.within(self.api)
            and (not self.version or wanted.of_version(self.version))
            and self.method in ("", "GET" if wanted.method == "HEAD" else wanted.method)
            and (not self.resource or wanted.fits(self.resource))
            and self.table in ("", wanted.table)
        )

    def concerns(self, actor: Actor) -> bool:
        """Tell whether it is about somebody; unlike elsewhere, admin does not hold every role."""
        match self.apply_to:
            case "user":
                return actor.sys_id == self.user
            case "role":
                return self.role in actor.roles
        return True


class Charge(Struct, frozen=True):
    """What a request counts for: a rule, and whom it is counted for."""

    rule: RateRule
    user: str = ""
    address: str = ""


class RateRules:
    """All active rules."""

    def __init__(self, rules: Iterable[RateRule] = (), names: ApiNames | None = None) -> None:
        # Strongest first: the first rule for some target that concerns somebody decides for it.
        self._rules = sorted(rules, key=lambda r: (APPLY_TO.index(r.apply_to), r.limit, r.sys_id))
        self.names = names or ApiNames({})

    def __bool__(self) -> bool:
        return bool(self._rules)

    def charges(self, wanted: Endpoint, actor: Actor, address: str) -> tuple[Charge, ...]:
        """Return what a request counts for; nothing where no rule is about it.

        Nobody is many: under a rule for all, strangers are counted by their address.
        """
        decided: dict[tuple[str, ...], RateRule] = {}
        for rule in self._rules:
            if rule.target not in decided and rule.covers(wanted) and rule.concerns(actor):
                decided[rule.target] = rule
        return tuple(_charge(rule, actor, address) for rule in decided.values())


def _charge(rule: RateRule, actor: Actor, address: str) -> Charge:
    if rule.count_by == "rule":
        return Charge(rule)
    stranger = actor.sys_id == GUEST.sys_id and rule.apply_to != "user"
    if rule.count_by == "address" or stranger:
        return Charge(rule, address=network(address)[:45])
    return Charge(rule, user=actor.sys_id)


def load_rate_rules(transaction: Transaction, dictionary: Dictionary) -> RateRules:
    """Read the active rules."""
    if TABLE not in dictionary:
        return RateRules()
    sql = Statements("midspan.security", "inbound", transaction.dialect)
    rows = transaction.rows(sql["rate_rules"], (transaction.dialect.name != "sqlite" or 1,))
    names = load_api_names(transaction, dictionary) if rows else ApiNames({})
    rules = (_rule(row, names) for row in rows)
    return RateRules((rule for rule in rules if rule.api and rule.limit > 0), names)


def _rule(row: tuple[Any, ...], names: ApiNames) -> RateRule:
    sys_id, api, version, method, resource, table, limit, *whom = row
    apply_to, user, role, count_by, since = whom
    return RateRule(
        sys_id=sys_id,
        api=names.path(api or ""),
        version=version or "",
        method=method or "",
        resource=resource_path(resource or ""),
        table=table or "",
        limit=int(limit or 0),
        apply_to=apply_to if apply_to in APPLY_TO else "all",
        user=user or "",
        role=role or "",
        count_by=count_by if count_by in COUNT_BY else "user",
        since=str(since or ""),
    )
