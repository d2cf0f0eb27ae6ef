"""The reference pages name every error code, setting, variable and property that the code has."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec

import midspan
import midspan_link
import midspan_mid
from midspan.api.errors import on_the_wire
from midspan.kernel.errors import MidspanError
from midspan.kernel.settings import Settings
from midspan_link.errors import LinkError
from midspan_mid.config import MidConfig, load_config, password_of
from midspan_mid.home import Home

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
ERRORS = (ROOT / "docs" / "reference" / "errors.md").read_text()
SETTINGS = (ROOT / "docs" / "reference" / "settings.md").read_text()
OWNER = {"MS": "instance and command", "ML": "both ends of a relay", "MM": "MID server"}


def descendants(kind: type[Exception]) -> Iterator[type[Exception]]:
    yield kind
    for child in kind.__subclasses__():
        yield from descendants(child)


def error_classes() -> list[type[Exception]]:
    """Return every class that brings a code of its own, by code."""
    for package in (midspan, midspan_link, midspan_mid):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    found = {*descendants(MidspanError), *descendants(LinkError)}
    ours = [
        kind for kind in found if "code" in vars(kind) and kind.__module__.startswith("midspan")
    ]
    return sorted(ours, key=lambda kind: kind.code)  # type: ignore[attr-defined]


def row(kind: type[Exception]) -> str:
    """Return a class's line of the table; the status is what an HTTP caller gets."""
    code = kind.code  # type: ignore[attr-defined]
    status = "-"
    if issubclass(kind, MidspanError):
        error = kind.__new__(kind)
        error.message, error.detail, error.hint = "", None, None
        status = str(on_the_wire(error).status)
    meaning = " ".join((kind.__doc__ or "").partition("\n\n")[0].split())
    return f"| {code} | {status} | `{kind.__name__.lstrip('_')}` | {meaning} |"


def test_every_error_is_listed_as_its_class_says() -> None:
    """On failure the message is the table to put into the page."""
    listed = [line for line in ERRORS.splitlines() if re.match(r"\| M[SLM]\d", line)]
    expected = [row(kind) for kind in error_classes()]
    assert listed == expected, "\n".join(expected)


def test_no_code_means_two_things() -> None:
    codes = Counter(kind.code for kind in error_classes())  # type: ignore[attr-defined]
    assert [code for code, times in codes.items() if times > 1] == []


def test_every_setting_of_an_instance_is_listed() -> None:
    names = [field.name for field in msgspec.structs.fields(Settings)]
    assert [name for name in names if f"| `{name}` |" not in SETTINGS] == []


def test_every_key_of_the_agents_file_is_listed() -> None:
    names = [field.name for field in msgspec.structs.fields(MidConfig)]
    assert [name for name in names if f"`{name}`" not in SETTINGS] == []


def test_every_variable_is_listed_and_read() -> None:
    used = {
        name
        for path in SOURCES
        for name in re.findall(r"\"((?:MIDSPAN|XDG)_[A-Z_]+)\"", path.read_text())
    }
    assert len(used) > 8
    assert sorted(name for name in used if f"`{name}`" not in SETTINGS) == []
    assert set(re.findall(r"`((?:MIDSPAN|XDG)_[A-Z_]+)`", SETTINGS)) - used == set()


def test_every_property_is_listed_and_read() -> None:
    modules = {
        str(path.relative_to(ROOT / "src").with_suffix("")).replace("/", ".") for path in SOURCES
    }
    packages = {name.rpartition(".")[0] for name in modules}
    used = {
        name
        for path in SOURCES
        for name in re.findall(r"\"((?:glide|midspan)(?:\.[a-z_]+){2,})\"", path.read_text())
        if name not in modules | packages | NOT_PROPERTIES
    }
    assert len(used) > 6
    assert sorted(name for name in used if f"`{name}`" not in SETTINGS) == []
    assert set(re.findall(r"`((?:glide|midspan)(?:\.[a-z_]+){2,})`", SETTINGS)) - used == set()


NOT_PROPERTIES = {"midspan.scripting.session"}
"""Names of this form that are something else."""


def test_the_agents_file_in_the_guide_is_one_that_an_agent_takes(tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "how-to" / "mid-server-as-a-service.md").read_text()
    shown = re.findall(r"```yaml\n(.*?)```", guide, re.DOTALL)
    home = Home(tmp_path)
    home.config.write_text(shown[0])
    (tmp_path / "inventory.password").write_text("secret\n")
    (tmp_path / "inventory.password").chmod(0o600)
    config = load_config(home)
    assert list(config.targets) == ["inventory"]
    assert password_of("inventory", config.targets["inventory"], home) == "secret"
