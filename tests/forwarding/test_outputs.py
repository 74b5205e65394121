"""Outputs as rules name them."""

from __future__ import annotations

import pytest

from afx.errors import UsageError
from afx.forwarding.outputs import Target, target_of
from afx.forwarding.rules import destination_reference


def test_a_webhook_is_a_url() -> None:
    assert target_of("webhook:https://h.example/a?b=c") == Target(
        "webhook", "https://h.example/a?b=c"
    )


@pytest.mark.parametrize(
    "url", ["https://ann:hunter2@h.example/", "https://hunter2@h.example/", "https://h.example/#a"]
)
def test_a_url_with_a_password_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(UsageError, match="webhook") as caught:
        destination_reference(f"webhook:{url}")
    assert "hunter2" not in str(caught.value)
