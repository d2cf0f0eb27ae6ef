"""That a password fits its hash is remembered for a minute, and stands for nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from midspan.instance import Instance
from midspan.kernel.clock import ManualClock
from midspan.kernel.errors import NotAuthenticated
from midspan.records import RIGHTS, insert, update
from midspan.security import SYSTEM, Identities, Passwords
from midspan.testing import open_instance

USER = "a" * 32
FIRST, SECOND = "the first password", "the second password"


class Counting(Passwords):
    """Counts how often a hash is computed."""

    hashed = 0

    def verify(self, stored: str | None, password: str) -> bool:
        self.hashed += 1
        return super().verify(stored, password)


class Desk:
    def __init__(self, instance: Instance, clock: ManualClock) -> None:
        self.instance = instance
        self.clock = clock
        self.passwords = Counting()
        self.identities = Identities(instance.database, clock, self.passwords)

    def sign_in(self, password: str) -> bool:
        rights = self.instance.holder.current().part(RIGHTS)
        try:
            self.identities.sign_in("ann", password, rights)
        except NotAuthenticated:
            return False
        return True

    def change(self, **values: str) -> None:
        with self.instance.records.write(SYSTEM, enforce=False) as transaction:
            transaction.apply(update("sys_user", USER, values))
        self.identities.forget()


@pytest.fixture
def desk() -> Iterator[Desk]:
    clock = ManualClock()
    with open_instance(clock=clock) as instance:
        values = {"sys_id": USER, "user_name": "ann", "user_password": FIRST}
        with instance.records.write(SYSTEM, enforce=False) as transaction:
            transaction.apply(insert("sys_user", values))
        yield Desk(instance, clock)


def test_it_is_computed_once_a_minute(desk: Desk) -> None:
    for _ in range(3):
        assert desk.sign_in(FIRST)
        desk.identities.forget()
    assert desk.passwords.hashed == 1
    desk.clock.advance(timedelta(seconds=61))
    assert desk.sign_in(FIRST)
    assert desk.passwords.hashed == 2


def test_a_wrong_password_is_computed_each_time(desk: Desk) -> None:
    assert desk.sign_in(FIRST)
    assert not desk.sign_in(SECOND)
    assert not desk.sign_in(SECOND)
    assert desk.passwords.hashed == 3


def test_another_password_and_a_lock_count_at_once(desk: Desk) -> None:
    assert desk.sign_in(FIRST)
    desk.change(locked_out="true")
    assert not desk.sign_in(FIRST)
    desk.change(locked_out="false", user_password=SECOND)
    assert not desk.sign_in(FIRST)
    assert desk.sign_in(SECOND)
