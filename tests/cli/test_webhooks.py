"""afx webhook: from adding to redelivering."""

from __future__ import annotations

import json
from pathlib import Path

from support.cli_runs import complains, runner


def test_a_webhook_is_added_tried_listed_and_removed(home: Path) -> None:
    afx = runner(home)
    url = "https://example.org/afx"
    assert "(dry run" in afx("webhook", "add", "pager", url, "--dry-run").stdout
    complains(afx("webhook", "show", "pager"), 2, "There is no webhook 'pager'")
    made = afx("webhook", "add", "pager", url, "--kind", "worker.lost")
    assert made.stdout.startswith("whsec_") and made.returncode == 0, made.stderr
    complains(afx("webhook", "add", "pager", url), 2, "another name")
    complains(afx("webhook", "add", "x", "https://10.0.0.1/"), 2, "not public")
    complains(afx("webhook", "add", "x", url, "--kind", "x"), 2, "worker.lost")
    [row] = json.loads(afx("webhook", "list", "--json").stdout)
    assert (row["name"], row["kinds"], row["state"]) == ("pager", ["worker.lost"], "active")
    assert "delivery 1 waits" in afx("webhook", "test", "pager").stdout
    [sent] = json.loads(afx("webhook", "deliveries", "pager", "--json").stdout)
    assert (sent["id"], sent["kind"], sent["state"]) == (1, "webhook.test", "waiting")
    complains(afx("webhook", "deliveries", "pager", "--state", "x"), 2, "waiting, delivered")
    assert "sent again" in afx("webhook", "redeliver", "1").stdout
    complains(afx("webhook", "redeliver", "9"), 2, "There is no delivery 9")
    assert afx("webhook", "rotate", "pager").stdout.startswith("whsec_")
    assert "is active" in afx("webhook", "resume", "pager").stdout
    complains(afx("webhook", "remove", "pager"), 2, "--yes")
    assert "removed" in afx("webhook", "remove", "pager", "--yes").stdout
    assert "There are no webhooks yet" in afx("webhook", "list").stderr
