"""What is reported and stored of held messages."""

from __future__ import annotations

import pytest

from afx.cluster.held_content import SEALED_LIMIT, HeldContent, HeldPart, decode, encode
from afx.cluster.reports import HeldEnded, MessageHeld
from afx.node.commit_reports import report_of
from afx.node.held_reports import HeldGone, HeldMessage
from afx.reasons import HeldEnd, HeldEvent
from afx.security.vault import Vault

VAULT = Vault(["k" * 43])


def test_the_reports_are_of_a_form_that_the_leader_takes() -> None:
    origin = {"node": "w1", "incarnation": "i", "session_id": 1, "epoch": 1}
    held = HeldMessage(HeldEvent.HELD, 1, -5, -6, 7, 0, 3, "sealed", 1_000)
    assert isinstance(report_of(held, origin), MessageHeld)
    gone = HeldGone(HeldEnd.RELEASED, 1, -5, -6, (7, 8))
    report = report_of(gone, origin)
    assert isinstance(report, HeldEnded) and report.message_ids == (7, 8)


def test_a_content_that_is_too_large_is_cut_and_one_that_is_none_is_refused() -> None:
    content = HeldContent("é" * 20_000, [HeldPart("Bold", 0, 3)], "photo", "https://t.me/c/1/2")
    read = decode(encode(content))
    assert read.text == "é" * 10_000 and not read.parts and read.link == content.link
    whole = HeldContent("a\ud800b", [HeldPart("TextUrl", 0, 1, "https://example.org")])
    assert decode(encode(whole)).text == "a?b"
    assert decode(encode(whole)).parts == tuple(whole.parts)
    assert len(VAULT.seal_held(encode(content), of="x")) <= 32_000
    for text in ("[]", "{}", '{"parts":[[1,2]]}', '{"parts":[],"text":1}', "?"):
        with pytest.raises(ValueError):
            decode(text)


@pytest.mark.parametrize("text", ["\n" * 20_000, "\x01" * 20_000, 'é"' * 7_000])
def test_a_content_of_which_json_takes_more_than_the_text_is_cut_too(text: str) -> None:
    read = decode(encode(HeldContent(text)))
    assert len(read.text) > 3_000 and text.startswith(read.text)
    assert len(VAULT.seal_held(encode(HeldContent(text)), of="x")) <= SEALED_LIMIT
