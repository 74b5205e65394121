"""Syntax trees of source files, for tests that check rules of the code."""

from __future__ import annotations

import ast
import gc
from functools import cache
from pathlib import Path


@cache
def tree(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return parsed(path.read_text())


def parsed(source: str) -> ast.Module:
    """Return the syntax tree of a source text.

    Without garbage collection meanwhile: a callback that it calls (Hypothesis has one)
    makes CPython 3.11 fail with "AST constructor recursion depth mismatch".
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        return ast.parse(source)
    finally:
        if enabled:
            gc.enable()
