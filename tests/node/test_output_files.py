"""Files and feeds of rules have each message once, and lie where the operator allows."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest

from afx.errors import UsageError
from afx.forwarding.outputs import is_output, output_number, target_of
from afx.forwarding.pipeline import Delivery
from afx.forwarding.rules import chat_reference, destination_reference
from afx.node.output_files import Feed, LineFile
from afx.node.output_messages import content_of, event_id

DATE = datetime(2026, 3, 6, 12, tzinfo=UTC)


def content(number: int, text: str = "Hello", event: str = "message") -> dict[str, Any]:
    return {
        "event": event,
        "id": f"{number:016x}",
        "text": text,
        "media": "text",
        "link": f"https://t.me/c/1/{number}",
    }


def lines(path: Path) -> list[str]:
    return [json.loads(it)["id"][-1] for it in path.read_text().splitlines()]


def test_a_line_is_written_once_whoever_writes_it_again(tmp_path: Path) -> None:
    file, path = LineFile(tmp_path, "a/news.jsonl"), tmp_path / "a/news.jsonl"
    file.write([content(1), content(2)])
    file.write([content(2), content(3)])
    LineFile(tmp_path, "a/news.jsonl").write([content(1), content(3), content(4)])
    assert lines(path) == ["1", "2", "3", "4"]
    file.write([content(4, "new", "edit"), content(4, "newer", "edit"), content(4, "new", "edit")])
    assert lines(path)[4:] == ["4", "4"]


def edited(text: str, minute: int, *, is_hidden: bool = False) -> dict[str, Any]:
    date = DATE.replace(minute=minute)
    whole = SimpleNamespace(edit_date=date, edit_hide=is_hidden, media=None)
    it = Delivery(1, "copy", -1, 1, 5, 7, text, (), False, op="edit", whole=whole)
    found = content_of(it)
    assert found is not None
    return found


def test_an_edit_back_to_what_was_is_an_event_of_its_own(tmp_path: Path) -> None:
    file, path = LineFile(tmp_path, "news.jsonl"), tmp_path / "news.jsonl"
    edits = [edited(text, it) for it, text in enumerate(("one", "two", "one", "two"))]
    for it in edits:
        file.write([it])
    LineFile(tmp_path, "news.jsonl").write([edits[3], edits[2]])
    written = [json.loads(it) for it in path.read_text().splitlines()]
    assert [it["text"] for it in written] == ["one", "two", "one", "two"]
    assert written[1]["edited"] == "2026-03-06T12:01:00+00:00"
    assert len({event_id(it) for it in edits}) == 4
    # A reaction changes the date as well.
    assert edited("x", 1, is_hidden=True) == edited("x", 2, is_hidden=True)


@pytest.mark.parametrize("cut", [1, 20, 90])
def test_a_line_that_a_crash_has_cut_is_written_again(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "news.jsonl"
    LineFile(tmp_path, "news.jsonl").write([content(1), content(2)])
    path.write_bytes(path.read_bytes()[:-cut])
    LineFile(tmp_path, "news.jsonl").write([content(2), content(3)])
    assert lines(path) == ["1", "2", "3"]


def test_a_file_that_was_moved_away_is_begun_anew(tmp_path: Path) -> None:
    file, path = LineFile(tmp_path, "news.jsonl"), tmp_path / "news.jsonl"
    file.write([content(1)])
    path.rename(tmp_path / "old")
    file.write([content(2)])
    assert lines(path) == ["2"]


def test_no_link_leads_out_of_the_directory(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    root = tmp_path / "root"
    root.mkdir()
    (root / "folder").symlink_to(outside)
    (root / "news.jsonl").symlink_to(outside / "news.jsonl")
    for place in ("folder/news.jsonl", "news.jsonl"):
        with pytest.raises(OSError, match="leads out"):
            LineFile(root, place).write([content(1)])
    with pytest.raises(OSError, match="leads out"):
        Feed(root, "folder/news.xml").write([content(1)], [DATE])
    assert not list(outside.iterdir())


def titles(path: Path) -> list[str]:
    return [it.findtext("title") or "" for it in ElementTree.parse(path).iter("item")]


def test_a_feed_has_the_last_messages_as_they_are_now(tmp_path: Path) -> None:
    feed, path = Feed(tmp_path, "news.xml"), tmp_path / "news.xml"
    feed.write([content(it, f"<{it}> & \x00more\nand more") for it in range(60)], [DATE] * 60)
    assert titles(path)[0] == "<59> & more" and len(titles(path)) == 50
    feed = Feed(tmp_path, "news.xml")
    feed.write(
        [content(59, "new", "edit"), content(58, event="delete"), content(1, "x", "edit")],
        [DATE, None, DATE],
    )
    feed.write([content(57, "<57> & more")], [DATE])
    assert titles(path)[:2] == ["new", "<57> & more"] and len(titles(path)) == 49
    item = next(ElementTree.parse(path).iter("item"))
    assert item.findtext("pubDate") == "Fri, 06 Mar 2026 12:00:00 +0000"
    assert item.findtext("guid") == f"{59:016x}"


@pytest.mark.parametrize("data", [b"", b"<rss", b"<!DOCTYPE x []><rss/>", b"\xff" * 5_000_000])
def test_what_is_no_feed_is_replaced(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "news.xml"
    path.write_bytes(data)
    Feed(tmp_path, "news.xml").write([content(1)], [DATE])
    assert titles(path) == ["Hello"]


@pytest.mark.parametrize(
    "text",
    [
        "webhook:ftp://example.org/",
        "webhook:https://exa mple.org/",
        "webhook:https://example.org/" + "x" * 200,
        "file:/etc/passwd.jsonl",
        "file:../news.jsonl",
        "file:a/../news.jsonl",
        "file:.hidden.jsonl",
        "file:news.xml",
        "file:a/b/c/d/news.jsonl",
        "file:a\\news.jsonl",
        "rss:news.jsonl",
        "rss:",
    ],
)
def test_what_is_no_output_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        destination_reference(text)


def test_an_output_is_a_destination_and_no_source() -> None:
    text = "file:folder/news.jsonl"
    assert destination_reference(f" {text} ") == text
    assert destination_reference("t.me/the_news") == "@the_news"
    assert target_of(text).place == "folder/news.jsonl"
    number = output_number(text)
    assert is_output(number) and number < 2**53 and number != output_number("file:news.jsonl")
    assert not is_output(2**41) and not is_output(-1_000_000_000_005)
    with pytest.raises(UsageError):
        chat_reference(text)


def test_a_long_file_without_lines_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "news.jsonl"
    path.write_bytes(b"x" * 300_000)
    with pytest.raises(OSError, match="no file of JSON lines"):
        LineFile(tmp_path, "news.jsonl").write([content(1)])
    assert path.stat().st_size == 300_000
