"""For tests of files that are uploaded anew: protected chats, and what they post."""

from __future__ import annotations

from typing import Any

from support.sandbox import SandboxHarness
from support.sessions import SessionHarness, one_rule
from telethon.tl import functions, types

from afx.sandbox.judge.flow import post
from afx.sandbox.telegram.files import File
from afx.sandbox.telegram.peers import Account, Channel
from afx.sandbox.telegram.uploads import Formula

REUPLOAD: dict[str, Any] = {"options": {"protected": "reupload"}}
MIB = 1024 * 1024
PART = 128 * 1024
VIDEO = types.DocumentAttributeVideo(2.0, 640, 480)
GET, SMALL = functions.upload.GetFileRequest, functions.upload.SaveFilePartRequest
BIG = functions.upload.SaveBigFilePartRequest


def protected(
    sandbox: SandboxHarness,
) -> tuple[SessionHarness, Account, Channel, Channel]:
    harness, account, source, to = one_rule(sandbox)
    source.noforwards = True
    return harness, account, source, to


def publish(sandbox: SandboxHarness, source: Channel, text: str, media: Any, **more: Any) -> int:
    return post(sandbox.server, source.marked, 0, text, media=media, **more)


def photo(sandbox: SandboxHarness, data: bytes = b"photo") -> File:
    return sandbox.server.world.files.add(data, is_photo=True)


def document(sandbox: SandboxHarness, size: int, **more: Any) -> File:
    name = [types.DocumentAttributeFilename("a.bin")]
    return sandbox.server.world.files.add(
        Formula(7, size), mime_type="a/b", attributes=name, **more
    )


def copies(to: Channel) -> list[Any]:
    return [it.media for it in to.box.messages.values()]
