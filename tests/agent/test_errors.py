"""Errors as people and programs meet them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import errors
from agent.errors import ModicumError

STATUS = {
    "UsageError": 2,
    "ConfigError": 2,
    "FindingsError": 1,
    "AgentAbsent": 3,
    "NotPermitted": 4,
    "DeviceError": 5,
    "IntegrityError": 1,
}


def test_every_class_has_the_promised_exit_status() -> None:
    """The exit statuses are those of the interfaces, and there is no class without one."""
    classes = {name: found for name, found in vars(errors).items() if isinstance(found, type) and issubclass(found, ModicumError)}
    del classes["ModicumError"]
    assert {name: found.exit_status for name, found in classes.items()} == STATUS


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    """The module says at its top which classes there are and with which exit status."""
    for name, status in STATUS.items():
        [line] = [line for line in (errors.__doc__ or "").splitlines() if f"+-- {name} " in line]
        assert f"exit {status}" in line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ModicumError("what", "where", "do this"), "modicum: what (where): do this"),
        (ModicumError("what"), "modicum: what"),
        (ModicumError("what", "where"), "modicum: what (where)"),
        (ModicumError("what", hint="do this"), "modicum: what: do this"),
    ],
)
def test_form_of_the_line(error: ModicumError, line: str) -> None:
    """`modicum: WHAT (WHERE): WHAT TO DO`, and nothing in place of what is not known."""
    assert str(error) == line


@given(st.text(), st.text(), st.text())
def test_whatever_is_said_stays_one_line(what: str, where: str, hint: str) -> None:
    """A line break inside a part (a file's name, another program's words) does not break the line."""
    assert len(str(ModicumError(what, where, hint)).splitlines()) == 1
