"""The Lua scripts, each in a file of its own beside this module."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def source(name: str) -> str:
    """Return the text of ``name.lua``."""
    return files("afx.cluster").joinpath("lua", f"{name}.lua").read_text()
