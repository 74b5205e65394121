"""The filters of telemirror: what each does, as conditions and transforms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from string import Formatter
from typing import Any

from afx.errors import printable
from afx.forwarding import markup
from afx.forwarding.foreign.drafts import (
    Draft,
    any_of,
    literal,
    quoted,
    replacement,
    template,
    unmarked,
    usable_pattern,
)
from afx.forwarding.foreign.parts import Effect, Part, Reader

_FIELDS = {"message_text": "{text}", "message_link": "{link}"}
_DEFAULT_FORMAT = "{message_text}\n\nForwarded from [{channel_name}]({message_link})"


def add_filter(draft: Draft, part: Part, reader: Reader) -> None:
    """Add an entry of ``filters`` to a rule; notes what it cannot have of it."""
    _Filter(draft, part, reader).add()


class _Filter:
    """One entry of ``filters``: a name, or a name with its arguments."""

    def __init__(self, draft: Draft, part: Part, reader: Reader) -> None:
        self._draft = draft
        self._part = part
        self._reader = reader
        self._arguments: dict[str, Part] = {}

    def add(self) -> None:
        """Add what the filter does to the draft."""
        name: str | None
        if isinstance(self._part.value, dict):
            entries = list(self._part.value.items())
            if len(entries) != 1:
                self._reader.fail(self._part, "a filter is a name, or one name with its arguments")
                return
            [(name, arguments)] = entries
            self._arguments = self._reader.table(arguments)
        else:
            name = self._reader.text(self._part)
        if name is None:
            return
        if not (known := _FILTERS.get(name)):
            self._disable(f"'{printable(name)}' is not known here")
            return
        add, arguments_known = known
        self._reader.tell_others(
            self._arguments, arguments_known, Effect.DISABLED, rule=self._draft.name
        )
        before = len(self._draft.conditions)
        add(self)
        if self._draft.transform and len(self._draft.conditions) > before:
            self._disable(
                f"'{name}' sees the text that the filters before it have changed, and the "
                "filter of a rule sees the message as it was posted"
            )

    def nothing(self) -> None:
        """Add nothing: it lets all messages pass."""

    def skip_all(self) -> None:
        """No message passes."""
        self._disable("no message passes 'SkipAllFilter'")

    def restricted(self) -> None:
        """Tell that protected chats are not copied."""
        self._reader.note(
            self._part,
            "messages of chats that forbid to save them are skipped, and told as dead letters",
            rule=self._draft.name,
        )

    def skip_links(self) -> None:
        """Skip messages with links, and with mentions."""
        has_mentions = self._reader.truth(self._arguments.get("skip_mention"), True)
        wrong: list[Any] = [{"links": True}, *([{"mentions": True}] if has_mentions else [])]
        self._draft.conditions.append({"not": wrong[0] if len(wrong) == 1 else {"any": wrong}})

    def strip_links(self) -> None:
        """Remove links; telemirror puts a placeholder in their place."""
        mentions = self._arguments.get("filter_mention")
        has_lists = any(
            self._reader.items(it)
            for it in (self._arguments.get("blacklist"), self._arguments.get("whitelist"))
        )
        is_listed = mentions is not None and isinstance(mentions.value, dict | list)
        if has_lists or is_listed:
            self._disable(
                "'strip' removes all links and mentions, not those of a list; give the rule "
                "'rewrite_links', 'regex' or 'strip'"
            )
            return
        by_name = not is_listed and self._reader.truth(mentions)
        by_id = self._reader.truth(self._arguments.get("filter_by_id_mention"))
        self._draft.transform.append(
            {"strip": ["links", *(["mentions"] if by_name or by_id else [])]}
        )
        self._reader.note(
            self._part, "links are removed, and no placeholder stands there", rule=self._draft.name
        )

    def format(self) -> None:
        """Put the text into a template."""
        part = self._arguments.get("format") or self._part
        given = self._arguments.get("format")
        text = (self._reader.text(given) or "") if given is not None else _DEFAULT_FORMAT
        names = self._reader.table(self._arguments.get("mapped"))
        chat = self._draft.sources[0] if len(self._draft.sources) == 1 else ""
        name = self._reader.text(names.get(chat))
        if not name or markup.escaped(name) != name:
            # A link with unknown words, or with marks among them, becomes its address.
            text, is_marked = unmarked(text)
            if is_marked:
                self._reader.note(part, "its Markdown was removed", rule=self._draft.name)
        pieces: list[str] = []
        lost: list[str] = []
        try:
            for before, field, form, conversion in Formatter().parse(text):
                pieces.append(literal(before))
                if field is None:
                    continue
                if field == "channel_name" and name:
                    pieces.append(literal(name))
                elif field in _FIELDS and not form and not conversion:
                    pieces.append(_FIELDS[field])
                else:
                    lost.append(printable(field, longest=40))
        except ValueError:
            self._reader.fail(part, "a brace is not closed")
            return
        if not (made := "".join(pieces)):
            return
        if lost:
            self._reader.note(
                part,
                f"templates have no field {', '.join(dict.fromkeys(lost))}; write the name into "
                "the rule's 'text'",
                rule=self._draft.name,
            )
        found = template(part, made, self._reader, self._draft.name)
        self._draft.transform.append({"text": found})

    def replace(self) -> None:
        """Replace words, and what regular expressions match."""
        table = self._reader.table(self._arguments.get("keywords"))
        for old, part in table.items():
            new = self._reader.text(part) or ""
            pattern = _pattern_of(old, self._is_regex())
            if pattern is None and not old.isascii():
                # RE2's borders of words are ASCII.
                self._draft.transform.append(
                    {"replace": {"text": [old], "with": new, "ignore_case": True}}
                )
                self._reader.note(
                    part,
                    f"'{printable(old, longest=40)}' is replaced inside of longer words, too",
                    rule=self._draft.name,
                )
                continue
            made = replacement(new)
            if made is None:
                self._disable("its replacement has an escape that is not known here")
            elif usable := self._pattern(part, old, pattern):
                self._draft.transform.append({"regex": {"pattern": usable, "with": made}})

    def skip_words(self) -> None:
        """Skip messages with one of some words."""
        if condition := self._words():
            self._draft.conditions.append({"not": condition})

    def allow_words(self) -> None:
        """Take only messages with one of some words."""
        if condition := self._words():
            self._draft.conditions.append(condition)
        else:
            self._disable("it has no keyword that is usable, so that no message would pass it")

    def _words(self) -> Any:
        part = self._arguments.get("keywords")
        words: list[str] = []
        texts: list[str] = []
        regexes: list[str] = []
        for it, text in self._reader.texts(part):
            pattern = _pattern_of(text, self._is_regex())
            if pattern is not None:
                usable = self._pattern(it, text, pattern)
                regexes += [usable] if usable else []
            elif any(each.isalnum() for each in text):
                words.append(text)
            elif text:
                texts.append(text)
        lists = {"words": words, "contains": texts, "regex": regexes}
        conditions = [any_of(name, values) for name, values in lists.items() if values]
        if len(conditions) < 2:
            return conditions[0] if conditions else None
        return {"any": conditions}

    def _is_regex(self) -> bool:
        # Earlier versions of telemirror have it.
        return self._reader.truth(self._arguments.get("regex"))

    def _pattern(self, part: Part, text: str, pattern: str | None) -> str | None:
        made = _whole_word(text) if pattern is None else pattern
        return usable_pattern(part, made, self._reader, ignore_case=True, rule=self._draft.name)

    def _disable(self, message: str) -> None:
        self._reader.note(
            self._part,
            f"{message}; the rule is disabled until you have looked at it",
            Effect.DISABLED,
            rule=self._draft.name,
        )


_WORDS = ("keywords", "regex")
_FILTERS: Mapping[str, tuple[Callable[[_Filter], None], Sequence[str]]] = {
    "EmptyMessageFilter": (_Filter.nothing, ()),
    "SkipAllFilter": (_Filter.skip_all, ()),
    "SkipUrlFilter": (_Filter.skip_links, ("skip_mention",)),
    "UrlMessageFilter": (
        _Filter.strip_links,
        ("placeholder", "filter_mention", "filter_by_id_mention", "blacklist", "whitelist"),
    ),
    "ForwardFormatFilter": (_Filter.format, ("format",)),
    "MappedNameForwardFormat": (_Filter.format, ("format", "mapped")),
    "KeywordReplaceFilter": (_Filter.replace, _WORDS),
    "SkipWithKeywordsFilter": (_Filter.skip_words, _WORDS),
    "AllowWithKeywordsFilter": (_Filter.allow_words, _WORDS),
    "RestrictSavingContentBypassFilter": (_Filter.restricted, ()),
}
"""name → what it adds, and the arguments that it knows."""


def _pattern_of(text: str, is_regex: bool) -> str | None:
    """Return the regular expression that a keyword is; None when it is a word."""
    if text.startswith("r'"):
        return text.removeprefix("r'").removesuffix("'")
    return text if is_regex else None


def _whole_word(text: str) -> str:
    """Return what matches a keyword; a side that is no letter or digit has no border."""
    before = r"\b" if text[:1].isalnum() or text[:1] == "_" else ""
    after = r"\b" if text[-1:].isalnum() or text[-1:] == "_" else ""
    return before + quoted(text) + after
