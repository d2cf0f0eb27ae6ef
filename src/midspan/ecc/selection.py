"""Which agent gets a job: the named one, else one that is Up, validated and has the capability."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from midspan.dictionary.values import datetime_text
from midspan.ecc.enrolment import SILENCE, VALIDATED
from midspan.ecc.errors import NoAgent, UnknownAgent
from midspan.kernel.errors import did_you_mean
from midspan.records import Record, RecordTransaction

ALL = "ALL"


class Choice(Struct, frozen=True):
    """The chosen agent and why."""

    mid_sys_id: str
    name: str
    reason: str


def select(transaction: RecordTransaction, *, name: str = "", capability: str = "") -> Choice:
    """Return the agent for a job.

    A named agent is taken whatever its state, and the reason tells what the job will wait for.
    By capability: Up and validated agents that have it or ``ALL``, then those that are the default;
    among equals the one with the fewest jobs.

    Raises:
        UnknownAgent: no agent has the name or id (with the nearest name).
        NoAgent: none is suitable; the message says why for each agent.
    """
    agents = transaction.find("ecc_agent", "ORDERBYname")
    if name:
        return _named(transaction, agents, name)
    return _capable(transaction, agents, capability)


def _named(transaction: RecordTransaction, agents: Sequence[Record], name: str) -> Choice:
    for agent in agents:
        if name == agent.sys_id or agent.get("name").lower() == name.lower():
            obstacle = _obstacle(transaction, agent)
            waits = f"; the job waits, because it {obstacle}" if obstacle else ""
            return Choice(agent.sys_id, agent.get("name"), f"named by the sender{waits}")
    known = [agent.get("name") for agent in agents]
    raise UnknownAgent(f"There is no MID server {name!r}", hint=did_you_mean(name, known))


def _capable(transaction: RecordTransaction, agents: Sequence[Record], capability: str) -> Choice:
    holders = _holders(transaction, capability) if capability else None
    suitable: list[Record] = []
    reasons: list[str] = []
    for agent in agents:
        obstacle = _obstacle(transaction, agent)
        fits = holders is None or agent.sys_id in holders or agent.get("default_agent") == "true"
        if not obstacle and not fits:
            obstacle = f"lacks the capability {capability}"
        if obstacle:
            reasons.append(f"{agent.get('name')} {obstacle}")
        else:
            suitable.append(agent)
    wanted = f"with the capability {capability}" if capability else "for any job"
    if not suitable:
        why = "; ".join(reasons) or "none is enrolled"
        raise NoAgent(
            f"No MID server {wanted} is Up and validated: {why}",
            hint="midspan mid list shows them; midspan mid code and validate bring one in.",
        )
    best = min(suitable, key=lambda agent: _rank(agent, holders))
    has_it = holders is None or best.sys_id in holders
    return Choice(
        best.sys_id,
        best.get("name"),
        f"{'has ' + (capability or 'no special task') if has_it else 'is the default'}; "
        f"{len(suitable)} of {len(agents)} suitable"
        + (f"; {'; '.join(reasons)}" if reasons else ""),
    )


def _rank(agent: Record, holders: frozenset[str] | None) -> tuple[bool, int, str]:
    lacks = holders is not None and agent.sys_id not in holders
    return (lacks, int(agent.get("jobs_running") or 0), agent.get("name").lower())


def _holders(transaction: RecordTransaction, capability: str) -> frozenset[str]:
    links = transaction.find(
        "ecc_agent_capability_m2m", f"capability.name={capability}^ORcapability.name={ALL}"
    )
    return frozenset(link.get("agent") for link in links)


def _obstacle(transaction: RecordTransaction, agent: Record) -> str:
    """Return why the agent would not begin a job now; empty: it would."""
    if agent.get("validated") != VALIDATED:
        return "is not validated"
    if agent.get("paused") == "true":
        return "is paused"
    fresh = datetime_text(transaction.now - SILENCE)
    if agent.get("status") != "Up" or agent.get("last_refreshed") < fresh:
        return f"is {agent.get('status') if agent.get('status') != 'Up' else 'silent'}"
    return ""
