"""What rules of inbound traffic say to a request whose sender is known, before anything is done."""

from __future__ import annotations

from midspan.api.errors import RateLimited, RefusedByPolicy
from midspan.api.parts import ApiParts
from midspan.api.request import NOBODY, Request
from midspan.records import POLICIES, RATE_LIMITS
from midspan.security import Charge, Limit, RateCounts, RateRules, Sender, endpoint

FIRST_ONLY = "glide.security.response.authenticate.header.auth_profile.first_scheme_only"


class Inbound:
    """Asks the rules; without any it looks at nothing and costs next to nothing."""

    def __init__(self, parts: ApiParts) -> None:
        self._counts = RateCounts(parts.records.database, parts.clock)

    def judge(self, request: Request) -> None:
        """Ask the access policies whether this sender may reach this API.

        Nobody is let through: where credentials are needed they are asked for elsewhere. So are
        people who signed in by the form; a session that a program got by its password is judged
        by that.

        Raises:
            RefusedByPolicy: they do not let him.
        """
        policies = request.snapshot.part(POLICIES)
        identity = request.identity
        kind = identity.began_with or identity.scheme
        if not policies or identity is NOBODY or kind == "session":
            return
        sender = Sender(identity.actor, request.address, kind, identity.client)
        if not policies.permit(endpoint(request.method, request.path), sender):
            raise RefusedByPolicy(kind, request.path)

    def challenge(self, request: Request) -> dict[str, str]:
        """Return the headers of a 401 answer that differ because of access policies."""
        policies = request.snapshot.part(POLICIES)
        if not policies:
            return {}
        every = request.property(FIRST_ONLY, "true").strip().lower() == "false"
        wanted = endpoint(request.method, request.path)
        schemes = policies.challenges(wanted, all_of_them=every)
        named = ", ".join(f'{scheme} realm="Service-now"' for scheme in schemes)
        return {"WWW-Authenticate": named} if named else {}

    def pass_at_once(self, request: Request) -> Request | None:
        """Do as ``let_pass``, for the event loop; None where the database has to be asked.

        Raises:
            RateLimited: as ``let_pass``.
        """
        rules = request.snapshot.part(RATE_LIMITS)
        charges = _charges(request, rules) if rules else ()
        if not charges:
            return request
        limit = self._counts.spend_at_once(charges)
        return None if limit is None else _passed(request, rules, limit)

    def let_pass(self, request: Request) -> Request:
        """Count a request and return it with what its answer says of limits.

        Raises:
            RateLimited: a limit is used up.
        """
        rules = request.snapshot.part(RATE_LIMITS)
        charges = _charges(request, rules) if rules else ()
        if not charges:
            return request
        return _passed(request, rules, self._counts.spend(charges))

    def close(self) -> None:
        """Note what was counted and is in memory alone."""
        self._counts.share()


def _charges(request: Request, rules: RateRules) -> tuple[Charge, ...]:
    wanted = endpoint(request.method, request.path)
    return rules.charges(wanted, request.actor, request.address)


def _passed(request: Request, rules: RateRules, limit: Limit) -> Request:
    if limit.exceeded:
        raise RateLimited(limit, rules.names.called(endpoint(request.method, request.path)))
    return request.replace(limit=limit)
