"""A file of two gigabytes costs hardly any memory, by reference or uploaded anew."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import RefusingHandler, one_rule, say, texts
from telethon.tl import functions, types

from afx.sandbox.judge.flow import edit, post
from afx.sandbox.telegram import uploads
from afx.sandbox.telegram.peers import Channel
from afx.sandbox.telegram.uploads import Formula, is_same

LARGEST = 4_000 * 512 * 1024
"""Bytes of the largest file that an ordinary account may upload (core.telegram.org/api/files)."""
_MOST_MORE = 128 * 1024
_MOST_MORE_ANEW = 8 * 1024 * 1024


class Sparse(bytes):
    """So many bytes that nobody may read."""

    def __len__(self) -> int:
        return LARGEST

    def __getitem__(self, _: Any) -> Any:
        raise AssertionError("the file is read")


def test_a_file_of_two_gigabytes_costs_no_more_memory_than_a_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moved = [
        RefusingHandler(monkeypatch, it)
        for it in (
            functions.upload.GetFileRequest,
            functions.upload.SaveFilePartRequest,
            functions.upload.SaveBigFilePartRequest,
        )
    ]

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        changed, forwarded = (sandbox.channel(posters=(account,)) for _ in range(2))
        large = {"filter": {"size": {"min": LARGEST, "max": LARGEST}}}
        options = {"sync": ("edits",), "transform": ({"footer": "end"},), **large}
        session = harness.session(
            account,
            (source, to, "copy"),
            (source, changed, "copy", options),
            (source, forwarded, "forward", large),
        )
        await session.start()
        say(sandbox, source, *(f"text {it}" for it in range(20)))
        await until(lambda: len(texts(to)) == 20)
        before = await _peak(lambda: say(sandbox, source, "a text"), 21, to)
        attributes = [types.DocumentAttributeFilename("film.mkv")]
        files = sandbox.server.world.files

        def film() -> None:
            file = files.add(Sparse(), mime_type="video/x-matroska", attributes=attributes)
            post(sandbox.server, source.marked, 0, "a film", media=file)

        peak = await _peak(film, 22, to)
        assert peak < before + _MOST_MORE, (peak, before)
        await until(lambda: texts(changed) == ["a film\nend"])
        await until(lambda: texts(forwarded) == ["a film"])
        edit(sandbox.server, source.marked, 0, 22, "a long film")
        await until(lambda: texts(changed) == ["a long film\nend"])
        assert not any(it.requests for it in moved)
        assert not harness.troubles
        await session.stop()

    run_scenario(scenario)


@pytest.mark.parametrize(
    "size", [40_000_000, pytest.param(LARGEST, marks=pytest.mark.faults, id="2 GB")]
)
def test_a_file_that_is_uploaded_anew_costs_little_more_memory_than_a_text(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the sandbox holds of it counts, too: it lies in the same process."""
    monkeypatch.setattr(uploads, "_KEPT_BYTES", 16 * 1024 * 1024)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        source.noforwards = True
        reupload = {"options": {"protected": "reupload"}}
        session = harness.session(account, (source, to, "copy", reupload))
        await session.start()
        files = sandbox.server.world.files

        def post_file(of: int) -> None:
            file = files.add(Formula(1, of), mime_type="a/b")
            post(sandbox.server, source.marked, 0, "a film", media=file)

        say(sandbox, source, *(f"text {it}" for it in range(20)))
        post_file(200_000)
        await until(lambda: len(texts(to)) == 21)
        before = await _peak(lambda: say(sandbox, source, "a text"), 22, to)
        peak = await _peak(lambda: post_file(size), 23, to)
        assert peak < before + _MOST_MORE_ANEW, (peak, before)
        assert is_same(to.box.messages[23].media.data, Formula(1, size))
        assert not harness.troubles and not harness.dead
        await session.stop()

    run_scenario(scenario, seconds=600)


async def _peak(act: Callable[[], None], count: int, to: Channel) -> int:
    """Return by how many bytes the memory rises while something is posted and copied."""
    tracemalloc.start()
    try:
        act()
        await until(lambda: len(texts(to)) == count)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
