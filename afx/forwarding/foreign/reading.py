"""Which forwarder a file is of, and the rules that it makes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from afx.forwarding.foreign import telemirror, telemirror_env, tgcf
from afx.forwarding.foreign.documents import decoded, read_json, read_yaml_text
from afx.forwarding.foreign.drafts import finished
from afx.forwarding.foreign.parts import Effect, Note, Part, Reader
from afx.forwarding.rule_docs import RuleDoc

Origin = Literal["tgcf", "telemirror"]
ORIGINS: tuple[Origin, ...] = ("tgcf", "telemirror")
_ENV = re.compile(r"^[ \t]*(?:export[ \t]+)?(?:CHAT_MAPPING|YAML_CONFIG_ENV)[ \t]*=", re.MULTILINE)
_UNKNOWN = (
    "this is neither a tgcf.config.json, with 'forwards', nor a mirror.config.yml or .env of "
    "telemirror, with 'directions' or CHAT_MAPPING"
)


@dataclass(slots=True, frozen=True)
class Imported:
    """The rules of a foreign file, and what they do not have of it."""

    origin: Origin
    rules: tuple[RuleDoc, ...]
    notes: tuple[Note, ...]


def read(data: bytes, where: str, session: str, origin: Origin | None = None) -> Imported:
    """Return what a file of another forwarder means as rules of a session.

    Without ``origin`` the file's keys say which forwarder it is of. Raises InputFileError
    with all errors of the file: what is not text, or has a wrong form or type.
    """
    reader = Reader(where)
    text = decoded(data, reader)
    rules: tuple[RuleDoc, ...] = ()
    if text is not None and (read_as := _root(text, reader, origin)) is not None:
        origin, root = read_as
        made = tgcf.drafts(root, reader) if origin == "tgcf" else telemirror.drafts(root, reader)
        rules = finished(made, session, reader)
    if not rules and not len(reader.problems):
        _tell_why_none(reader)
    reader.problems.check()
    assert origin is not None
    return Imported(origin, rules, tuple(reader.notes))


def _tell_why_none(reader: Reader) -> None:
    """Note as errors why a file makes no rule."""
    for it in reader.notes:
        if it.effect is Effect.LEFT_OUT:
            reader.problems.add(it.message, it.line, field=it.field or None)
    if not len(reader.problems):
        reader.problems.add("the file has no entry in 'forwards', or in 'directions'")


def _root(text: str, reader: Reader, origin: Origin | None) -> tuple[Origin, Part] | None:
    """Return the forwarder and the root of a file; None after an error."""
    if not text.strip():
        reader.problems.add(_UNKNOWN)
        return None
    if origin != "tgcf" and _ENV.search(text):
        root = telemirror_env.read_env(text, reader)
        return None if root is None else ("telemirror", root)
    is_json = origin == "tgcf" or text.lstrip().startswith("{")
    root = read_json(text, reader) if is_json else read_yaml_text(text, reader)
    if root is None:
        return None
    if origin is None:
        keys = root.value if isinstance(root.value, dict) else {}
        if "forwards" in keys and not is_json:
            reader.problems.add(
                "this is a configuration of tgcf before 1.0; let a newer tgcf write its "
                "tgcf.config.json, and import that"
            )
            return None
        origin = "tgcf" if "forwards" in keys else "telemirror" if "directions" in keys else None
    if origin is None:
        reader.problems.add(_UNKNOWN)
        return None
    return origin, root
