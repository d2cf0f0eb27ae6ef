"""Refuses rules of inbound traffic that could never work, when they are written.

A rule that names nothing would be silently without effect, and one that permits too much would be
cut down silently when it is read; whoever writes it is told at once instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from midspan.dictionary import Table
from midspan.dictionary.values import datetime_text
from midspan.kernel.errors import OperationAborted, did_you_mean
from midspan.records.change import Draft, Operation
from midspan.security.certificates import ALGORITHMS, read_certificate
from midspan.security.endpoints import load_api_names
from midspan.security.origins import METHODS, problem
from midspan.security.policies import address_ranges

if TYPE_CHECKING:
    from midspan.records.transaction import RecordTransaction

Check: TypeAlias = "Callable[[Draft, RecordTransaction], str | None]"


class InboundGuard:
    """A ``Guard`` of the tables that say who may reach which API."""

    def wants(self, table: Table, operation: Operation) -> bool:
        """Take what is written to those tables."""
        return table.name in CHECKS and operation is not Operation.DELETE

    def before(self, draft: Draft, transaction: RecordTransaction) -> None:
        """Refuse a rule that could not work.

        Raises:
            OperationAborted: it could not; the detail says why.
        """
        reason = CHECKS[draft.table.name](draft, transaction)
        if reason:
            raise OperationAborted("Operation Failed", detail=reason)

    def after(self, drafts: Sequence[Draft], transaction: RecordTransaction) -> None:
        """Nothing follows."""


def _cors(draft: Draft, transaction: RecordTransaction) -> str | None:
    credentials = draft.get("access_control_allow_credentials") == "true"
    wrong = problem(draft.get("domain"), credentials=credentials)
    if wrong:
        return wrong
    if draft.get("use_resource_path") == "true":
        given = draft.get("resource_path").strip()
        return None if given.strip("/") else "resource_path: give the path, such as /oauth_token.do"
    if not any(draft.get(method.lower()) == "true" for method in METHODS):
        return "Set at least one of get, post, put, patch and delete; no other method is permitted"
    return unknown_api(draft, "rest_api", transaction)


def unknown_api(draft: Draft, field: str, transaction: RecordTransaction) -> str | None:
    """Return what to say where a field names no API, or None."""
    names = load_api_names(transaction.database, transaction.dictionary)
    given = draft.get(field)
    if names.path(given):
        return None
    return f"{field}: there is no API {given!r}. {names.advice(given)}"


def _rate_limit(draft: Draft, transaction: RecordTransaction) -> str | None:
    if int(draft.get("request_limit") or 0) < 1:
        return "request_limit: give how many requests an hour may bring, at least 1"
    whom = draft.get("apply_to")
    if whom in ("user", "role") and not draft.get(whom):
        return f"{whom}: say which, because apply_to is {whom}"
    if draft.changed("request_limit") or not draft.get("counted_since"):
        draft.set("counted_since", transaction.now_text)
    return unknown_api(draft, "rest_api", transaction)


def _policy(draft: Draft, transaction: RecordTransaction) -> str | None:
    for every, one in _EITHER:
        if draft.get(every) != "true" and draft.get("apply_all") != "true" and not draft.get(one):
            return f"{one}: say which, or set {every}"
    if draft.get("apply_global") == "true":
        return None
    for name in draft.get("api_tablename").split(","):
        if name.strip() and name.strip() not in transaction.dictionary:
            near = did_you_mean(name.strip(), transaction.dictionary.tables) or ""
            return f"api_tablename: there is no table {name.strip()!r}. {near}".strip()
    return unknown_api(draft, "api_path" if draft.get("api_path") else "api", transaction)


def _addresses(draft: Draft, transaction: RecordTransaction) -> str | None:
    try:
        return None if address_ranges(draft.get("ranges")) else "ranges: give at least one address"
    except ValueError as error:
        return f"ranges: {error}"


def _certificate(draft: Draft, transaction: RecordTransaction) -> str | None:
    """Fill in what the PEM text says; a key store has a file instead."""
    if draft.get("type") == "pkcs12_key_store":
        return None
    try:
        known = read_certificate(draft.get("pem_certificate"))
    except ValueError as error:
        return f"pem_certificate: {error}"
    if draft.table.name == "sys_certificate" and not known.algorithms:
        return "pem_certificate: its key is neither RSA nor on the curve P-256, P-384 or P-521"
    draft.set("subject", known.subject[:1000])
    draft.set("issuer", known.issuer[:1000])
    draft.set("valid_from", datetime_text(known.valid_from))
    draft.set("expires", datetime_text(known.expires))
    draft.set("fingerprint", known.fingerprint)
    return None


def _jwt_client(draft: Draft, transaction: RecordTransaction) -> str | None:
    field, users = draft.get("user_field"), transaction.dictionary.table("sys_user").fields
    if field not in users or users[field].type in ("password", "password2"):
        near = did_you_mean(field, users) or "Take one that tells users apart, such as email."
        return f"user_field: sys_user has no such field {field!r}. {near}"
    wanted = [part.strip() for part in draft.get("algorithms").split(",")]
    wrong = [name for name in wanted if name not in ALGORITHMS]
    if wrong:
        return f"algorithms: {wrong[0]!r} is none of {', '.join(sorted(ALGORITHMS))}"
    return None


CHECKS: dict[str, Check] = {
    "ip_filter_criteria": _addresses,
    "oauth_jwt": _jwt_client,
    "sys_api_access_policy": _policy,
    "sys_certificate": _certificate,
    "sys_cors_rule": _cors,
    "sys_rate_limit_rules": _rate_limit,
    "sys_user_certificate": _certificate,
}
_EITHER = (
    ("apply_all_methods", "http_method"),
    ("apply_all_versions", "version"),
    ("apply_all_resources", "api_resource"),
    ("apply_all_tables", "api_tablename"),
)
"""What a policy is about: all of a kind, or one that is named."""
