"""The names of a node's host processes: ``w1``, ``w1.2``, ``w1.3``, …

To the coordinator each process is a place of its own, with a lease, a capacity and a name.
The first one has the node's name. No name that people give to a node has a dot. In commands
the node's name means all its processes, and ``w1.1`` the first one alone.
"""

from __future__ import annotations

_SEPARATOR = "."
MOST_PROCESSES = 64
"""Of one node."""
LONGEST_NAME = 100
"""Of a process, and of a node that has one only."""
LONGEST_NODE_NAME = LONGEST_NAME - 4
"""Of a node with several: the names of its further processes have three characters more."""


def process_name(node: str, number: int) -> str:
    """Return the name of a node's process; the first has number 1."""
    return node if number == 1 else f"{node}{_SEPARATOR}{number}"


def node_of(name: str) -> str:
    """Return the name of the node to which a process belongs."""
    return name.partition(_SEPARATOR)[0]


def number_of(name: str) -> int:
    """Return the number of a process in its node."""
    number = name.partition(_SEPARATOR)[2]
    return int(number) if number.isascii() and number.isdecimal() else 1


def is_further(name: str) -> bool:
    """Return whether a name is that of a second or later process of a node.

    So is what people call one process: ``w1.1`` is one, too.
    """
    return _SEPARATOR in name


def named(text: str) -> str:
    """Return the name of the process that a text means, or the text: ``w1`` for ``w1.1``."""
    return process_name(node_of(text), 1) if text.endswith(f"{_SEPARATOR}1") else text


def is_within(name: str, subject: str) -> bool:
    """Return whether a process is what ``subject`` names: a node with all its processes, or one.

    The name of a node means all its processes, ``NODE.2`` means the second one alone, and
    ``NODE.1`` the first one.
    """
    return name == named(subject) or node_of(name) == subject
