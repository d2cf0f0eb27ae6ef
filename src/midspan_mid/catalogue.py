"""Finds the probes: every module in ``midspan_mid.probes`` offers one."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping

from midspan_link.errors import did_you_mean
from midspan_mid import probes
from midspan_mid.config import MidConfig
from midspan_mid.errors import InvalidConfig, MidError
from midspan_sdk import Probe


def find_probes() -> dict[str, Probe]:
    """Import the package's modules and return their probes by topic.

    Raises:
        MidError: a module without a probe, or a topic twice.
    """
    found: dict[str, Probe] = {}
    for entry in pkgutil.iter_modules(probes.__path__):
        module = importlib.import_module(f"{probes.__name__}.{entry.name}")
        offered = [value for value in vars(module).values() if isinstance(value, Probe)]
        if len(offered) != 1 or offered[0].topic in found:
            raise MidError(f"{module.__name__} must offer exactly one probe with its own topic")
        found[offered[0].topic] = offered[0]
    return found


def permitted(found: Mapping[str, Probe], config: MidConfig) -> dict[str, Probe]:
    """Return the probes that ``mid.yaml`` leaves: by topic and by capability.

    Raises:
        InvalidConfig: the file names a topic or capability that this agent does not have.
    """
    capabilities = {probe.capability for probe in found.values()}
    _check("topics", config.topics, set(found))
    _check("capabilities", config.capabilities, capabilities)
    return {
        topic: probe
        for topic, probe in found.items()
        if (not config.topics or topic in config.topics)
        and (not config.capabilities or probe.capability in config.capabilities)
    }


def _check(key: str, wanted: list[str], known: set[str]) -> None:
    for name in wanted:
        if name not in known:
            hint = did_you_mean(name, known) or f"Known: {', '.join(sorted(known))}."
            raise InvalidConfig(f"{key}: this agent has no {name!r}", hint=hint)
