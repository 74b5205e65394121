"""The names of a node's host processes."""

from __future__ import annotations

import pytest

from afx.app import node_name
from afx.errors import UsageError
from afx.process_names import (
    LONGEST_NAME,
    LONGEST_NODE_NAME,
    MOST_PROCESSES,
    is_further,
    is_within,
    node_of,
    number_of,
    process_name,
)


@pytest.mark.parametrize("number", [1, 2, MOST_PROCESSES])
def test_a_name_says_its_node_and_its_number(number: int) -> None:
    name = process_name("big-1", number)
    assert (node_of(name), number_of(name), is_further(name)) == ("big-1", number, number > 1)


def test_the_first_process_has_the_name_of_its_node() -> None:
    assert process_name("w1", 1) == "w1"


def test_no_process_has_a_name_that_a_node_may_have() -> None:
    with pytest.raises(UsageError):
        node_name(process_name("w1", 2))


def test_the_names_of_all_processes_of_a_node_fit() -> None:
    name = node_name("x" * LONGEST_NODE_NAME, 0)
    assert len(process_name(name, MOST_PROCESSES)) <= LONGEST_NAME
    with pytest.raises(UsageError, match="no more than 96 characters, and this has 97"):
        node_name("x" * (LONGEST_NODE_NAME + 1), 2)


def test_a_node_with_one_process_may_have_a_longer_name() -> None:
    assert len(node_name("x" * LONGEST_NAME)) == LONGEST_NAME
    with pytest.raises(UsageError, match="no more than 100 characters"):
        node_name("x" * (LONGEST_NAME + 1))


def test_a_node_means_all_its_processes_and_a_process_means_itself() -> None:
    assert is_within("w1", "w1") and is_within("w1.2", "w1") and is_within("w1.2", "w1.2")
    assert is_within("w1", "w1.1") and not is_within("w1.2", "w1.1")
    assert not is_within("w1.11", "w1.1")
    assert not is_within("w1", "w1.2") and not is_within("w11", "w1") and not is_within("", "w1")
