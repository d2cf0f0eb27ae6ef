"""Which items of a payload others stand beside, and the order in which they are taken. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from midspan.cmdb.outcome import Problem
from midspan.cmdb.payload import Payload, Relation
from midspan.cmdb.prepare import Prepared, recency_of
from midspan.cmdb.rule import Dependency, RuleBook
from midspan.dictionary import Dictionary


class Beside(Struct, frozen=True):
    """The item that another one stands beside, and the rule that says so."""

    item: int
    dependency: Dependency


class Hosts(Struct, frozen=True):
    """What the dependent items of a payload stand beside; ``problems`` of those that lack it."""

    found: Mapping[int, Beside]
    problems: Mapping[int, Problem]

    @property
    def indices(self) -> dict[int, int]:
        """The item beside each dependent one."""
        return {index: beside.item for index, beside in self.found.items()}


def find_hosts(
    payload: Payload, prepared: Sequence[Prepared], book: RuleBook, dictionary: Dictionary
) -> Hosts:
    """Find the host of each item whose rule is a dependent one."""
    found: dict[int, Beside] = {}
    problems: dict[int, Problem] = {}
    ends: dict[int, list[Relation]] = {}
    for relation in payload.relations:
        for index in {relation.parent.item, relation.child.item}:
            ends.setdefault(index, []).append(relation)
    types = {each.type: book.relations_named(each.type) for each in payload.relations}
    for index, each in enumerate(prepared):
        if each.problem or not each.rules or each.rules[0].independent:
            continue
        dependencies = book.hosts_of(dictionary, each.cls)
        hosts = {
            beside.item: beside
            for beside in _beside(
                index, ends.get(index, ()), types, prepared, dependencies, dictionary
            )
        }
        if len(hosts) == 1:
            found[index] = next(iter(hosts.values()))
        else:
            problems[index] = _problem(each, dependencies, sorted(hosts), book)
    return Hosts(found, problems)


def _beside(
    index: int,
    relations: Sequence[Relation],
    types: Mapping[str, Sequence[str]],
    prepared: Sequence[Prepared],
    dependencies: Sequence[Dependency],
    dictionary: Dictionary,
) -> Iterator[Beside]:
    for relation in relations:
        for dependency in dependencies:
            own, other = (
                (relation.parent, relation.child)
                if dependency.upwards
                else (relation.child, relation.parent)
            )
            if (
                not own.part
                and not other.part
                and own.item == index != other.item
                and dependency.type in types[relation.type]
                and dictionary.is_a(prepared[other.item].cls, dependency.host)
            ):
                yield Beside(other.item, dependency)


def _problem(
    each: Prepared, dependencies: Sequence[Dependency], hosts: Sequence[int], book: RuleBook
) -> Problem:
    if not dependencies:
        return Problem(
            "METADATA_RULE_MISSING",
            f"No containment or hosting rules defined for dependent class [{each.cls}]. Add "
            f"containment/hosting rules for '{each.cls}'",
        )
    if hosts:
        return Problem(
            "MULTIPLE_DEPENDENCIES",
            f"Found multiple dependent relation items [{hosts[0]}] and [{hosts[1]}] in payload",
        )
    rules = "; ".join(f"{d.parent} {book.relation_name(d.type)} {d.child}" for d in dependencies)
    return Problem(
        "MISSING_DEPENDENCY",
        f"In payload no relations defined for dependent class [{each.cls}] that matches any "
        f"containment/hosting rules: [{rules}]. Add appropriate relations in payload",
    )


def order_of(payload: Payload, hosts: Mapping[int, int]) -> list[int]:
    """Return the items so that each comes after what it stands beside or refers to.

    Otherwise what they say decides, and not the payload's order: two of them may turn out to mean
    one stored item. References that go round in a circle are set afterwards.
    """
    waits: dict[int, set[int]] = {index: set() for index in range(len(payload.items))}
    for index, host in hosts.items():
        waits[index].add(host)
    for reference in payload.references:
        if not reference.to.part and reference.by.item != reference.to.item:
            waits[reference.by.item].add(reference.to.item)
    ordered: list[int] = []
    done: set[int] = set()
    left = sorted(waits, key=lambda index: recency_of(payload.items[index]))
    while left:
        ready = [index for index in left if waits[index] <= done]
        if not ready:  # a circle: a host still comes before whoever stands beside it
            ready = [i for i in left if hosts.get(i) in done or i not in hosts][:1] or left[:1]
        ordered += ready
        done.update(ready)
        left = [index for index in left if index not in done]
    return ordered
