"""``mid.yaml``: what the local administrator allows. Strict; the instance cannot change it."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import yaml
from msgspec import Meta, Struct
from msgspec.structs import fields

from midspan_link.databases.target import parse_target
from midspan_link.errors import LinkError, did_you_mean
from midspan_mid.access import AllowList
from midspan_mid.errors import InvalidConfig
from midspan_mid.home import Home, require_private

T = TypeVar("T", bound=Struct)

TEMPLATE = """\
# What this agent may do. The instance cannot change this file.
url: {url}
name: {name}

# Addresses that jobs may name: host:port, *.domain:port, network/bits:port,
# unix:/socket/directory, sqlite:/path or sqlite:/directory/*.db
allow: []

# Databases that jobs may use by name; the instance never learns address or password.
# inventory:
#   url: postgresql://db.example.internal:5432/assets
#   user: reader
#   password_file: inventory.password
targets: {{}}
"""


class NamedTarget(Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of ``targets``; at most one of the three ways to give the password."""

    url: str
    user: str = ""
    password: str = ""
    password_file: str = ""
    password_env: str = ""


class Threads(Struct, frozen=True, forbid_unknown_fields=True):
    """How many jobs run at the same time."""

    max: Annotated[int, Meta(ge=1, le=200)] = 25


class MidConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file. Empty ``topics`` or ``capabilities`` mean all that this agent has."""

    url: str
    name: Annotated[str, Meta(min_length=1, max_length=100)]
    insecure_http: bool = False
    allow: list[str] = []
    targets: dict[str, NamedTarget] = {}
    topics: list[str] = []
    capabilities: list[str] = []
    threads: Threads = Threads()
    spool_limit_mb: Annotated[int, Meta(ge=16)] = 2048
    heartbeat_seconds: Annotated[int, Meta(ge=1, le=300)] = 30
    grace_seconds: Annotated[int, Meta(ge=0, le=600)] = 20
    log_level: str = "info"

    def allow_list(self, home: Home) -> AllowList:
        """Return the rules for addresses that jobs name."""
        return AllowList.parse(self.allow, str(home.config))


def load_config(home: Home) -> MidConfig:
    """Read and check ``mid.yaml``.

    Raises:
        InvalidConfig: unreadable, no YAML, an unknown key (with the nearest one), a wrong value, or
            a secret in a file that others may read.
    """
    path = home.config
    try:
        raw = yaml.safe_load(path.read_text())
    except OSError as error:
        raise InvalidConfig(f"{path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidConfig(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    config = _convert(raw, MidConfig, str(path))
    check_url(config.url, config.insecure_http)
    _check_allow(config, home)
    for name, target in config.targets.items():
        _check_target(name, target, home)
    return config


def check_url(url: str, insecure_http: bool) -> None:
    """Return when the instance's address protects what is sent to it.

    Raises:
        InvalidConfig: no http(s) address, or plain http to another machine.
    """
    scheme, _, rest = url.partition("://")
    host = rest.partition("/")[0].rpartition("@")[2]
    host = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    if scheme not in ("http", "https") or not host:
        raise InvalidConfig(f"url: {url!r} is no http or https address")
    if scheme == "http" and not insecure_http and not _is_loopback(host):
        raise InvalidConfig(
            f"url: {url} sends everything unencrypted",
            hint="Use https, or set insecure_http: true in a network you trust.",
        )


def password_of(name: str, target: NamedTarget, home: Home) -> str:
    """Return the target's password, read now; empty when it has none.

    Raises:
        InvalidConfig: the file or variable is missing, or others may read the file.
    """
    if target.password_file:
        path = home.root / target.password_file
        require_private(path)
        return path.read_text().rstrip("\r\n")
    if target.password_env:
        value = os.environ.get(target.password_env)
        if value is None:
            raise InvalidConfig(f"targets.{name}: the variable {target.password_env} is not set")
        return value
    return target.password


def _check_target(name: str, target: NamedTarget, home: Home) -> None:
    place = f"{home.config}: targets.{name}"
    try:
        parse_target(target.url)
    except LinkError as error:
        raise InvalidConfig(f"{place}: {error.message}", hint=error.hint) from None
    given = [key for key in ("password", "password_file", "password_env") if getattr(target, key)]
    if len(given) > 1:
        raise InvalidConfig(f"{place} gives the password twice: {' and '.join(given)}")
    if target.password:
        require_private(home.config)
    if target.password_file:
        require_private(home.root / target.password_file)


def _check_allow(config: MidConfig, home: Home) -> None:
    try:
        config.allow_list(home)
    except LinkError as error:
        raise InvalidConfig(f"{home.config}: allow: {error.message}", hint=error.hint) from None


def _convert(raw: Any, kind: type[T], place: str) -> T:
    _check_keys(raw, kind, place)
    if kind is MidConfig:
        _check_keys(raw.get("threads") or {}, Threads, f"{place}: threads")
        for name, target in (raw.get("targets") or {}).items():
            _check_keys(target, NamedTarget, f"{place}: targets.{name}")
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        raise InvalidConfig(f"{place}: {error}") from None


def _check_keys(raw: Any, kind: type[Struct], place: str) -> None:
    if not isinstance(raw, Mapping):
        raise InvalidConfig(f"{place}: expected keys and values")
    known = [field.encode_name for field in fields(kind)]
    for key in raw:
        if key not in known:
            hint = did_you_mean(str(key), known) or f"Known: {', '.join(known)}."
            raise InvalidConfig(f"{place}: unknown key {str(key)!r}", hint=hint)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def default_home() -> Path:
    """Return ``$MIDSPAN_MID_HOME`` or ``~/.midspan-mid``."""
    return Path(os.environ.get("MIDSPAN_MID_HOME") or Path.home() / ".midspan-mid")
