"""XML is read in two places, both hardened; every door that takes it goes through one of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

SOURCES = Path(__file__).parents[2] / "src"
READERS = {"midspan/formats/xml.py", "midspan_link/parameters.py"}
"""Of documents of callers with lxml, and of payloads at both ends of a relay with expat."""
MODULES = {"lxml", "xml", "html5lib", "xmltodict", "bs4"}
READING = {"fromstring", "fromstringlist", "XML", "XMLID", "HTML", "parse", "iterparse",
           "XMLParser", "HTMLParser", "XMLPullParser", "ParserCreate", "make_parser",
           "parseString"}  # fmt: skip


def _reading(tree: ast.Module) -> Iterator[str]:
    """Yield what reads XML: an attribute of a name that comes from an XML library."""
    known = {
        alias.asname or alias.name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        and (getattr(node, "module", None) or node.names[0].name).partition(".")[0] in MODULES
        for alias in node.names
    }
    yield from sorted(known & READING)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in READING:
            root = node.value
            while isinstance(root, ast.Attribute):
                root = root.value
            if isinstance(root, ast.Name) and root.id in known:
                yield node.attr


def test_xml_is_read_in_two_places() -> None:
    found = {
        str(path.relative_to(SOURCES)): names
        for path in SOURCES.rglob("*.py")
        if (names := list(_reading(ast.parse(path.read_text()))))
    }
    assert found.keys() == READERS, found


def test_it_sees_a_reader() -> None:
    for text in (
        "from lxml import etree\netree.fromstring(x)",
        "import xml.etree.ElementTree as tree\ntree.parse(x)",
        "from xml.dom.minidom import parseString",
    ):
        assert list(_reading(ast.parse(text))), text
    assert not list(_reading(ast.parse("from lxml import etree\netree.tostring(x)")))
