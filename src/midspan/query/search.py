"""Search for words: in the texts that describe a record."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from midspan.dictionary import FieldPath, Storage
from midspan.query.comparison import is_folded
from midspan.query.condition import ALWAYS, And, Condition, Operator, Or, Test

if TYPE_CHECKING:
    from midspan.query.resolve import Resolver

SEARCHES = (Operator.ALL_WORDS, Operator.ANY_WORD)
DESCRIBING = ("number", "name", "short_description", "description")
"""Fields that are searched where a table has them, beside the one that is shown of a record."""


def search(resolver: Resolver, operator: Operator, text: str) -> Condition | None:
    """Return what rows meet that hold all words of the text, or any of them; None without a field.

    There is no index of words: each is looked for as a part of the texts.
    """
    paths = list(_searched(resolver))
    if not paths:
        return None
    words = list(dict.fromkeys(text.split()))
    if not words:
        return ALWAYS
    found = tuple(
        Or(tuple(Test(path, Operator.CONTAINS, (word,)) for path in paths)) for word in words
    )
    return Or(found) if operator is Operator.ANY_WORD else And(found)


def _searched(resolver: Resolver) -> Iterator[FieldPath]:
    table = resolver.dictionary.table(resolver.table)
    for name in dict.fromkeys((table.display, *DESCRIBING)):
        field = table.fields.get(name)
        if field is None or field.storage is not Storage.TEXT or field.kind.secret:
            continue
        if is_folded(field):
            yield FieldPath(name, (field,), (table.name,))
