"""TOML from outside: a small text must not take more memory than a machine has."""

from __future__ import annotations

import contextlib
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afx.bounded_toml import DEEPEST, TomlDepthError, loads

PART = st.sampled_from(["a", "b-1", '"q.r"', "'s'"])
SPACE = st.sampled_from(["", " ", "\t"])


@pytest.mark.parametrize(
    "text",
    [
        ".".join(["a"] * 200_000) + " = 1",
        "[" + ".".join(["a"] * 200_000) + "]",
        "[[" + " . ".join(['"a"'] * 100_000) + "]]",
        "x = {" + ".".join(["a"] * 100_000) + " = 1}",
        "ok = 1\n" + ".".join(["'a'"] * 100) + " = 1",
    ],
)
def test_a_key_with_too_many_parts_is_refused_before_it_is_parsed(text: str) -> None:
    with pytest.raises(TomlDepthError) as caught:
        loads(text)
    assert caught.value.line == text.count("\n") + 1


@given(st.lists(st.tuples(PART, SPACE, SPACE), min_size=DEEPEST + 2, max_size=40))
def test_no_spelling_of_a_deep_key_passes(parts: list[tuple[str, str, str]]) -> None:
    key = ".".join(f"{before}{part}{after}" for part, before, after in parts)
    with pytest.raises(TomlDepthError):
        loads(f"{key} = 1")


@pytest.mark.parametrize(
    "text",
    [
        "# ............................................................",
        'x = "1.2.3.4.5"',
        "x = [1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5]",
        "\n".join(f"a{number}.b.c = {number}.5" for number in range(100)),
        "a.b.c.d.e.f.g.h = 1",
    ],
)
def test_what_is_not_deep_is_read(text: str) -> None:
    assert loads(text) == tomllib.loads(text)


def test_arrays_that_are_nested_too_deeply_are_refused() -> None:
    with pytest.raises(TomlDepthError):
        loads("x = " + "[" * 5_000 + "]" * 5_000)


def test_a_number_that_python_does_not_convert_is_no_toml() -> None:
    with pytest.raises(tomllib.TOMLDecodeError):
        loads("x = " + "9" * 5_000)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(TomlDepthError, tomllib.TOMLDecodeError):
        loads(text)
