"""The Lua scripts, each in a file of its own in ``lua/``, and how the leader runs them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import redis

from afx.cluster import keys as names
from afx.errors import FencedError

_INCLUDE = re.compile(r"^-- include: (\w+)$", re.MULTILINE)


@cache
def source(name: str) -> str:
    """Return the text of ``name.lua``, with the files that it includes."""
    text = files("afx.cluster").joinpath("lua", f"{name}.lua").read_text()
    return _INCLUDE.sub(lambda found: source(found[1]), text)


def load(client: redis.Redis) -> None:
    """Let a Redis know all scripts, in one round trip.

    One that it does not know takes three round trips instead of one, which the first
    rounds of a leader have no time for when Redis is far away.
    """
    pipe = client.pipeline(transaction=False)
    for it in files("afx.cluster").joinpath("lua").iterdir():
        pipe.script_load(source(it.name.removesuffix(".lua")))
    # What was not loaded is loaded when it is used.
    pipe.execute(raise_on_error=False)


class FencedScript:
    """A script that only the leader of the newest term may run.

    Its file includes ``prelude.lua``, which compares the terms. This is the one
    place where its answer becomes an error.
    """

    def __init__(self, client: redis.Redis, name: str) -> None:
        """``client`` must decode answers."""
        self._script = client.register_script(source(name))

    def __call__(
        self, term: int, *, keys: Sequence[str] = (), args: Sequence[str | int] = ()
    ) -> Any:
        """Run it in a term of leadership; raises FencedError when a newer one has begun.

        ``keys`` and ``args`` follow the term's key and the term.
        """
        answer = self._script(keys=[names.TERM, *keys], args=[term, *args])
        if answer == "FENCED":
            raise FencedError(
                f"Another coordinator leads, or Redis was restarted or replaced since term {term} "
                "began in it; this one stands by."
            )
        return answer
