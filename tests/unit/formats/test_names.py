"""Names made from labels are usable, bounded and different."""

import re

from hypothesis import given
from hypothesis import strategies as st

from midspan.formats.names import MAX_LENGTH, column_name, column_names, service_id


@given(st.lists(st.text(max_size=120) | st.sampled_from(["a" * 100, "A" * 100, "x", "x 2"])))
def test_columns_are_different_and_fit_the_dictionary(labels: list[str]) -> None:
    names = column_names(labels)
    assert len(set(names)) == len(labels)
    assert all(re.fullmatch(r"u_[a-z0-9_]*[a-z0-9]", name) for name in names)
    assert all(len(name) <= MAX_LENGTH for name in names)


@given(st.text(max_size=200))
def test_service_ids_are_safe_in_a_url(name: str) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]{0,79}", service_id(name))


@given(st.text(max_size=50))
def test_a_column_name_is_its_own_column_name(label: str) -> None:
    name = column_name(label)
    assert column_name(name) == name


def test_a_scoped_app_has_no_prefix() -> None:
    assert column_name("Serial number", prefix="") == "serial_number"
