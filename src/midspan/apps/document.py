"""YAML as app files use it: few types, no key twice, no text that turns into something else. Pure.

Only ``true``, ``false``, ``null`` and plain whole numbers are more than text, so ``no``, ``010``,
``12:30``, ``1.10`` and ``2026-01-31`` stay the texts that the author wrote.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any, ClassVar

import yaml

from midspan.kernel.errors import InvalidDefinition

_DEEPEST = 100
_SAFE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_SAFE):  # type: ignore[misc]
    """The safe loader with fewer implicit types, bounded depth and without repeated keys."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}

    _depth = 0

    def descend_resolver(self, current_node: object, current_index: object) -> None:
        """Called on the way into each node; unbounded depth would overrun the C stack."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise yaml.composer.ComposerError(None, None, f"nested over {_DEEPEST} levels deep")

    def ascend_resolver(self) -> None:
        self._depth -= 1

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} is given twice", key.start_mark
                )
            seen.add(key.value)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
        return mapping


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), ["t", "f"])
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:null", re.compile(r"^(?:~|null|)$"), ["~", "n", ""]
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^(?:0|-?[1-9][0-9]*)$"), list("-0123456789")
)


def read_yaml(content: bytes, place: str) -> Any:
    """Parse one YAML document; ``place`` names the file in errors.

    >>> read_yaml(b"{a: no, b: true, c: 010, d: 10, e: 2026-01-31}", "x.yaml")
    {'a': 'no', 'b': True, 'c': '010', 'd': 10, 'e': '2026-01-31'}

    Raises:
        InvalidDefinition: it is not YAML, or a mapping gives a key twice; names line and column.
    """
    return read_marked(content, place)[0]


class Lines:
    """Where each part of a document stands."""

    def __init__(self, root: yaml.Node | None) -> None:
        self._root = root

    def at(self, *path: str | int) -> int:
        """Return the line, from 1, of the entry that ``path`` leads to, or of the last before it.

        >>> read_marked(b"a:\\n  b: [1,\\n   2]", "x.yaml")[1].at("a", "b", 1)
        3
        """
        node, line = self._root, 1
        for step in path:
            found = _child(node, step)
            if found is None:
                break
            line, node = found
        return line


def _child(node: yaml.Node | None, step: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(step):
                return key.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        child = node.value[step]
        return child.start_mark.line + 1, child
    return None


def read_marked(content: bytes, place: str) -> tuple[Any, Lines]:
    """Parse one YAML document as ``read_yaml`` does; return it and the lines of its parts."""
    try:
        loader = _Loader(content)
        root = loader.get_single_node()
        return (None if root is None else loader.construct_document(root)), Lines(root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise InvalidDefinition(f"{place}{where}: {error.problem or error.context}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise InvalidDefinition(f"{place} is not YAML: {error}") from error
