"""Reads a spoke's folder: its manifest, its actions and its quality marks; strict about all.

slack/
  spoke.yaml      SpokeManifest
  actions/        one file per action; file, function and action have the same name
  client.py       only what several actions share
  tests/  README.md
  quality.yaml    every rule of QUALITY_RULES: done, todo, or exempt with a reason
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Struct

from midspan_sdk.action import Action
from midspan_sdk.errors import ActionError, InvalidSpoke, did_you_mean

Auth = Literal["none", "basic", "bearer", "api_key", "webhook"]

QUALITY_RULES: Mapping[str, str] = MappingProxyType(
    {
        "fields_described": "Every input and output has a description.",
        "errors_mapped": "Each error the peer documents ends as a code that the README lists.",
        "rate_limit": "The peer's way to say 'slow down' ends as RetryLater, and a test shows it.",
        "repeat_proved": "A test shows what a second run does, as `repeat` declares.",
        "outcome_known": "Time-outs and 5xx end as retry or outcome unknown, and a test shows it.",
        "tests_offline": "The tests run without network and credentials.",
        "contract_checked": "A receiver that follows the peer's description accepts the calls.",
        "real_peer": "The actions were run against the real product; the README says when.",
        "readme": "The README shows the connection and one use of each action.",
    }
)

_NAME = re.compile(r"[a-z][a-z0-9_]*")
S = TypeVar("S", bound=Struct)


class ConnectionNeed(Struct, frozen=True):
    """What a spoke needs of its connection: the schemes it can use and where it usually leads."""

    required: bool = True
    auth: tuple[Auth, ...] = ("none",)
    base_url: str = ""


class SpokeManifest(Struct, frozen=True):
    """The content of ``spoke.yaml``; without ``actions`` every file of ``actions/`` is one."""

    name: str
    title: str
    version: str
    description: str
    connection: ConnectionNeed = ConnectionNeed()
    actions: tuple[str, ...] = ()


class QualityMark(Struct, frozen=True):
    """How a spoke stands with one rule; ``reason`` is required with ``exempt``."""

    status: Literal["done", "todo", "exempt"]
    reason: str = ""


@dataclass(frozen=True)
class Spoke:
    """A loaded spoke; ``actions`` by name, in the manifest's order or by name."""

    name: str
    manifest: SpokeManifest
    folder: Path
    actions: Mapping[str, Action]

    def action(self, name: str) -> Action:
        """Return the action called ``name``.

        Raises:
            ActionError: ``unknown_action``, with the nearest name.
        """
        if name not in self.actions:
            hint = did_you_mean(name, self.actions)
            raise ActionError("unknown_action", f"Spoke {self.name} has no action {name!r}. {hint}")
        return self.actions[name]


def load_spoke(source: str | Path | ModuleType) -> Spoke:
    """Load a spoke from a package (name or module) or a folder anywhere on disk.

    A folder is imported afresh on each call, so edited files count.

    Raises:
        InvalidSpoke: naming the file, the place in it and what was expected.
    """
    if isinstance(source, Path):
        folder, package = source.resolve(), None
    else:
        module = source if isinstance(source, ModuleType) else importlib.import_module(source)
        folder, package = Path(next(iter(module.__path__))), module.__name__
    manifest = load_manifest(folder)
    names = manifest.actions or _discovered(folder)
    if package is None:
        package = _adopt(folder, manifest.name)
    actions = {name: _load_action(folder, package, name) for name in names}
    return Spoke(manifest.name, manifest, folder, MappingProxyType(actions))


def load_manifest(folder: Path) -> SpokeManifest:
    """Read and check ``spoke.yaml`` without importing any code.

    Raises:
        InvalidSpoke: it is missing, is not YAML, has an unknown key or a wrong value.
    """
    path = folder / "spoke.yaml"
    raw = _read_yaml(path)
    _refuse_unknown(path, "", raw, SpokeManifest)
    if isinstance(raw.get("connection"), dict):
        _refuse_unknown(path, "connection.", raw["connection"], ConnectionNeed)
    manifest = _convert(path, raw, SpokeManifest)
    if not _NAME.fullmatch(manifest.name) or manifest.name != folder.name:
        raise InvalidSpoke(
            f"{path}: name: expected the folder's name {folder.name!r} in lower case letters, "
            f"digits and _, got {manifest.name!r}"
        )
    return manifest


def load_quality(folder: Path) -> dict[str, QualityMark]:
    """Read ``quality.yaml``: each rule with ``done``, ``todo`` or ``{exempt: reason}``.

    Raises:
        InvalidSpoke: a rule is missing or unknown, or an exemption has no reason.
    """
    path = folder / "quality.yaml"
    raw = _read_yaml(path)
    marks = {}
    for rule, value in raw.items():
        if rule not in QUALITY_RULES:
            raise InvalidSpoke(
                f"{path}: unknown rule {rule!r}. {did_you_mean(rule, QUALITY_RULES)}"
            )
        reason = value.get("exempt") if isinstance(value, dict) and len(value) == 1 else None
        if isinstance(reason, str) and reason.strip():
            marks[rule] = QualityMark("exempt", reason.strip())
        elif value in ("done", "todo"):
            marks[rule] = QualityMark(value)
        else:
            raise InvalidSpoke(
                f"{path}: {rule}: expected done, todo or {{exempt: the reason}}, got {value!r}"
            )
    missing = [rule for rule in QUALITY_RULES if rule not in marks]
    if missing:
        raise InvalidSpoke(f"{path}: expected a mark for {', '.join(missing)}")
    return marks


def check_spoke(folder: Path) -> list[str]:
    """Return what is wrong with the folder, a sentence each; empty when nothing is."""
    problems = [f"{folder}: {name} is missing" for name in _absent(folder)]
    try:
        marks = load_quality(folder)
    except InvalidSpoke as error:
        marks = {}
        problems.append(error.message)
    try:
        spoke = load_spoke(folder)
    except InvalidSpoke as error:
        return [*problems, error.message]
    if marks.get("fields_described") == QualityMark("done"):
        problems += [
            f"{spoke.name}.{action.name}: {field.name} has no description"
            for action in spoke.actions.values()
            for field in (*action.input_fields, *action.output_fields)
            if not field.description
        ]
    return problems


def _absent(folder: Path) -> Iterable[str]:
    wanted = ("spoke.yaml", "quality.yaml", "README.md", "actions", "tests")
    return (name for name in wanted if not (folder / name).exists())


def _discovered(folder: Path) -> tuple[str, ...]:
    files = sorted((folder / "actions").glob("*.py"))
    names = tuple(path.stem for path in files if not path.stem.startswith("_"))
    if not names:
        raise InvalidSpoke(f"{folder / 'actions'}: expected at least one action file")
    return names


def _adopt(folder: Path, name: str) -> str:
    package = f"midspan_spoke_{name}_{zlib.crc32(str(folder).encode()):08x}"
    for known in [key for key in sys.modules if key == package or key.startswith(f"{package}.")]:
        del sys.modules[known]
    importlib.invalidate_caches()
    start = folder / "__init__.py"
    if start.exists():
        spec = importlib.util.spec_from_file_location(
            package, start, submodule_search_locations=[str(folder)]
        )
    else:
        spec = ModuleSpec(package, None, is_package=True)
        spec.submodule_search_locations = [str(folder)]
    if spec is None:
        raise InvalidSpoke(f"{start}: cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[package] = module
    if spec.loader is not None:
        spec.loader.exec_module(module)
    return package


def _load_action(folder: Path, package: str, name: str) -> Action:
    path = folder / "actions" / f"{name}.py"
    if not path.is_file():
        hint = did_you_mean(name, (each.stem for each in path.parent.glob("[!_]*.py")))
        raise InvalidSpoke(f"{path}: the manifest lists {name!r}, there is no such file. {hint}")
    try:
        module = importlib.import_module(f"{package}.actions.{name}")
    except Exception as error:
        raise InvalidSpoke(f"{path}: {type(error).__name__}: {error}") from error
    found = [value for value in vars(module).values() if isinstance(value, Action)]
    if len(found) != 1 or found[0].name != name:
        names = ", ".join(each.name for each in found) or "none"
        raise InvalidSpoke(f"{path}: expected exactly one action, called {name!r}; found {names}")
    return found[0]


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        raw = msgspec.yaml.decode(path.read_bytes())
    except FileNotFoundError:
        raise InvalidSpoke(f"{path}: there is no such file") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidSpoke(f"{path}: not YAML", detail=str(error)) from None
    if not isinstance(raw, dict) or not all(isinstance(key, str) for key in raw):
        raise InvalidSpoke(f"{path}: expected names with values, got {type(raw).__name__}")
    return raw


def _refuse_unknown(path: Path, prefix: str, raw: Mapping[str, Any], kind: type[Struct]) -> None:
    known = kind.__struct_fields__
    for key in raw:
        if key not in known:
            hint = did_you_mean(str(key), known)
            raise InvalidSpoke(f"{path}: unknown key {prefix}{key}. {hint}")


def _convert(path: Path, raw: Mapping[str, Any], kind: type[S]) -> S:
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        text = str(error).replace("`", "")
        quote = " Put it in quotes." if "Expected str" in text else ""
        raise InvalidSpoke(f"{path}: {text}.{quote}") from None
