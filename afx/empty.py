"""What is nearly always empty, shared.

An empty set takes 216 bytes and an empty dictionary 64: thousands of sessions with some
twenty of them each cost megabytes. An attribute that begins with one of these is assigned
anew when it changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

NONE: frozenset[Any] = frozenset()
NOTHING: Mapping[Any, Any] = MappingProxyType({})
