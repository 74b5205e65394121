"""Whole files in the form that tgcf 1.1.8 writes, and that telemirror's own example has."""

from __future__ import annotations

import json
from typing import Any

from afx.forwarding.foreign.parts import Effect
from afx.forwarding.foreign.reading import read
from afx.forwarding.rule_docs import RuleDoc, dump
from afx.forwarding.rulefile import parse

TGCF: dict[str, Any] = {
    "pid": 4711,
    "theme": "dark",
    "login": {
        "API_ID": 12345,
        "API_HASH": "secret-hash",
        "user_type": 1,
        "phone_no": 4930,
        "USERNAME": "",
        "SESSION_STRING": "secret-session",
        "BOT_TOKEN": "",
    },
    "admins": [],
    "forwards": [
        {
            "con_name": "sport",
            "use_this": True,
            "source": "sport_news",
            "dest": ["my_sport", -1001234567890],
            "offset": 0,
            "end": 0,
        },
        {
            "con_name": "",
            "use_this": False,
            "source": -1009876543210,
            "dest": ["my_rest"],
            "offset": 0,
            "end": None,
        },
    ],
    "show_forwarded_from": False,
    "mode": 0,
    "live": {"sequential_updates": False, "delete_sync": True, "delete_on_edit": ".deleteMe"},
    "past": {"delay": 0},
    "plugins": {
        "filter": {
            "check": True,
            "users": {"blacklist": [], "whitelist": []},
            "files": {"blacklist": ["sticker"], "whitelist": []},
            "text": {
                "blacklist": ["casino"],
                "whitelist": [],
                "case_sensitive": False,
                "regex": False,
            },
        },
        "fmt": {"check": False, "style": "preserve"},
        "mark": {"check": False, "image": "image.png", "position": "centre", "frame_rate": 15},
        "ocr": {"check": False},
        "replace": {"check": True, "text": {"Acme": "Emca"}, "text_raw": "", "regex": False},
        "caption": {"check": True, "header": "", "footer": "\n-- end"},
        "sender": {"check": False, "user_type": 0, "BOT_TOKEN": "", "SESSION_STRING": ""},
    },
    "bot_messages": {"start": "alive", "bot_help": "none"},
}

TELEMIRROR = r"""
filters:
  - EmptyMessageFilter
  - SkipWithKeywordsFilter:
      keywords: !!set
        ? "casino"
        ? "r'lotter(y|ies)'"
  - KeywordReplaceFilter:
      keywords:
        "acme": "emca"
        "r'example\\.com.*'": "example.org"
disable_edit: true
disable_delete: true
mode: copy
directions:
  - from: [-1001, -1002]
    to: [-1003]
  - from: [-1004#3]
    to: [-1005#4]
  - from: [-1006]
    to: [-1007, -1008]
    disable_edit: false
    disable_delete: false
    mode: forward
    filters: [EmptyMessageFilter]
"""


def rules(data: bytes, name: str) -> list[RuleDoc]:
    """Return the rules that a file is imported as; the file of them says the same."""
    imported = read(data, name, "main")
    assert parse("".join(dump(imported.rules)).encode(), "rules.yaml") == list(imported.rules)
    return list(imported.rules)


def test_a_file_with_all_that_tgcf_writes_becomes_rules() -> None:
    data = json.dumps(TGCF).encode()
    sport, rest = rules(data, "tgcf.config.json")
    assert (sport.name, sport.mode, sport.enabled) == ("sport", "copy", True)
    assert sport.sources == ("@sport_news",)
    assert sport.destinations == ("@my_sport", "-1001234567890")
    assert sport.sync == ("edits", "deletes")
    assert not rest.enabled
    assert rest.filter == sport.filter
    told = read(data, "tgcf.config.json", "main").notes
    assert {it.effect for it in told} == {Effect.NONE}
    assert "secret" not in repr((told, sport, rest))


def test_a_file_with_what_telemirrors_example_has_becomes_rules() -> None:
    both, topic, forwards = rules(TELEMIRROR.encode(), "mirror.config.yml")
    assert (both.sources, both.destinations, both.sync) == (("-1001", "-1002"), ("-1003",), ())
    assert (topic.sources, topic.destinations) == (("-1004/3",), ("-1005/4",))
    assert topic.filter == both.filter
    assert (forwards.mode, forwards.sync) == ("forward", ("deletes",))
    assert (forwards.filter, forwards.transform) == ({}, ())
    assert all(it.enabled for it in (both, topic, forwards))
