"""The mapping of telemirror (github.com/khoben/telemirror): ``mirror.config.yml`` or ``.env``."""

from __future__ import annotations

from afx.forwarding.foreign.drafts import Draft, chats, route_name
from afx.forwarding.foreign.parts import Effect, Part, Reader
from afx.forwarding.foreign.telemirror_filters import add_filter

_DIRECTION = ("from", "to", "disable_edit", "disable_delete", "mode", "filters")
_DEFAULTS = ("filters", "disable_edit", "disable_delete", "mode")


def drafts(root: Part, reader: Reader) -> list[tuple[Part, Draft]]:
    """Return the rules of a mapping; ``reader`` has its errors and notes."""
    config = reader.table(root)
    known = (*_DEFAULTS, "directions")
    reader.tell_others(config, known, Effect.DISABLED)
    has_unknown = any(key not in known for key in config)
    defaults = {key: it for key, it in config.items() if key in _DEFAULTS}
    found = []
    for part in reader.items(config.get("directions")):
        direction = reader.table(part)
        if "filters" in direction and not reader.items(direction["filters"]):
            del direction["filters"]
        draft = _direction(defaults, direction, reader)
        draft.enabled = draft.enabled and not has_unknown
        if draft.sources and draft.destinations:
            found.append((part, draft))
        else:
            reader.note(
                part,
                "this has no chat in 'from', or none in 'to', so no rule was made of it",
                Effect.LEFT_OUT,
                rule=draft.name,
            )
    return found


def _direction(defaults: dict[str, Part], direction: dict[str, Part], reader: Reader) -> Draft:
    settings = {**defaults, **direction}
    sources, destinations = (reader.items(settings.get(it)) for it in ("from", "to"))
    name = route_name("telemirror", sources, destinations)
    draft = Draft(
        name,
        chats(sources, reader, name),
        chats(destinations, reader, name),
        reader.choice(settings.get("mode"), ("copy", "forward"), "copy"),
    )
    if draft.mode == "copy" and not reader.truth(settings.get("disable_edit")):
        draft.sync.append("edits")
    if not reader.truth(settings.get("disable_delete")):
        draft.sync.append("deletes")
    begin = len(reader.notes)
    # What is not known may be a filter that kept messages back, misspelt.
    reader.tell_others(direction, _DIRECTION, Effect.DISABLED, rule=name)
    filters = settings.get("filters")
    for part in reader.items(filters):
        add_filter(draft, part, reader)
    if draft.mode == "forward" and draft.transform:
        reader.note(
            filters or Part(None),
            "a forward shows the message as it is; the filters that change texts were left out",
            rule=name,
        )
        draft.transform = []
    if any(it.effect is Effect.DISABLED for it in reader.notes[begin:]):
        draft.enabled = False
    return draft
