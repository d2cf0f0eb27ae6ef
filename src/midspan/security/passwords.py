"""One-way password hashes, with a bounded number computed at a time."""

from __future__ import annotations

import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from midspan.kernel.errors import InvalidValue

MINIMUM_LENGTH = 8
_TRIED_FIRST = """
12345678 123456789 1234567890 11223344 12341234 123123123 87654321 987654321 0987654321
1q2w3e4r 1q2w3e4r5t 1qaz2wsx qwerty123 qwertyuiop qwerty12 asdfghjkl zaq12wsx q1w2e3r4
password password1 password12 password123 password1234 passw0rd p@ssw0rd p@ssword pa$$word
iloveyou sunshine princess football baseball superman trustno1 starwars whatever welcome1
welcome123 letmein123 changeme changeme1 changeme123 adminadmin admin123 admin1234
administrator servicenow snow1234 secret123 computer internet abcd1234 abc12345 a1b2c3d4
aa123456 test1234 testtest default1 midspan1
"""
_COMMON = frozenset(_TRIED_FIRST.split())
_UNKNOWN_USER = (
    "$argon2id$v=19$m=19456,t=2,p=1$bWlkc3Bhbi1ub2JvZHk$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)


class Passwords:
    """Hashes and verifies with argon2id (19 MiB, 2 passes: OWASP's first recommendation)."""

    def __init__(self, concurrent: int = 2) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
        self._slots = threading.BoundedSemaphore(concurrent)

    def hash(self, password: str) -> str:
        """Return the hash to store.

        Raises:
            InvalidValue: the password is shorter than 8 characters, or among the first that are
                tried. There are no rules on kinds of characters: they make passwords worse (NIST
                SP 800-63B).
        """
        if len(password) < MINIMUM_LENGTH:
            raise InvalidValue(f"A password needs at least {MINIMUM_LENGTH} characters")
        if _is_tried_first(password):
            raise InvalidValue("This password is one of the first that are tried; choose another")
        with self._slots:
            return self._hasher.hash(password)

    def verify(self, stored: str | None, password: str) -> bool:
        """Tell whether ``password`` belongs to the stored hash; as slow for an unknown user."""
        with self._slots:
            try:
                return self._hasher.verify(stored or _UNKNOWN_USER, password)
            except (VerificationError, InvalidHashError):
                return False


def _is_tried_first(password: str) -> bool:
    """Tell whether a guesser begins with this one: a common one, or one character repeated.

    >>> [_is_tried_first(text) for text in ("PassWord123", "aaaaaaaaaa", "vanilla-fog")]
    [True, True, False]
    """
    return password.lower() in _COMMON or len(set(password)) == 1
