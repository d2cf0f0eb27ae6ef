"""Amounts of money and numbers as people read and type them."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

_TYPED = re.compile(r"(-?)\$?(\d{1,3}(?:,\d{3})+|\d+)(\.\d+)?")


def dollars(text: str) -> str:
    """Return an amount as the vendor's default locale shows it.

    >>> dollars("1499"), dollars("-2.5")
    ('$1,499.00', '-$2.50')
    """
    try:
        amount = Decimal(text)
    except InvalidOperation:
        return text
    return f"{'-' if amount < 0 else ''}${abs(amount):,.2f}"


def typed_number(text: str) -> str:
    """Return a number without its dollar sign and what groups its digits; other texts as they are.

    >>> typed_number("$1,499.50"), typed_number("-12"), typed_number("1,2"), typed_number("many")
    ('1499.50', '-12', '1,2', 'many')
    """
    match = _TYPED.fullmatch(text.strip())
    if match is None:
        return text
    sign, whole, rest = match.groups("")
    return sign + whole.replace(",", "") + rest
