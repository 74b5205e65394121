"""What importing the rules of another forwarder may change."""

from __future__ import annotations

import pytest

from afx.errors import ConflictError
from afx.forwarding.rule_docs import Change, RuleDoc
from afx.operations.rule_imports import check_replaced

NEWS = RuleDoc("main", "news", ("-1", "-2"), ("-3",))


def changed(after: RuleDoc) -> list[Change]:
    return [Change("change", NEWS, after)]


def test_an_import_gives_no_rule_other_chats() -> None:
    with pytest.raises(ConflictError, match="'main/news' would get other chats"):
        check_replaced(changed(RuleDoc("main", "news", ("-1", "-2"), ("-4",))))
    with pytest.raises(ConflictError, match="--replace"):
        check_replaced(changed(RuleDoc("main", "news", ("-1",), ("-3",))))


def test_an_import_may_add_rules_and_change_what_those_of_the_same_chats_do() -> None:
    check_replaced([Change("add", None, NEWS)])
    check_replaced(changed(RuleDoc("main", "news", ("-2", "-1"), ("-3",), mode="forward")))
