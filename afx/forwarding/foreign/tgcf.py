"""The configuration of tgcf (github.com/aahnik/tgcf, 1.0 and later): ``tgcf.config.json``."""

from __future__ import annotations

from afx.forwarding.foreign.drafts import Draft, chats, name_of, route_name
from afx.forwarding.foreign.parts import Effect, Part, Reader
from afx.forwarding.foreign.tgcf_plugins import conditions, transforms

_ROOT = (
    *("pid", "theme", "login", "admins", "forwards", "show_forwarded_from", "mode"),
    *("live", "past", "plugins", "bot_messages"),
)
_FORWARD = ("con_name", "use_this", "source", "dest", "offset", "end")
_PLUGINS = ("filter", "fmt", "mark", "ocr", "replace", "caption", "sender")
_SECRETS = ("SESSION_STRING", "BOT_TOKEN", "API_HASH")


def drafts(root: Part, reader: Reader) -> list[tuple[Part, Draft]]:
    """Return the rules of a configuration; ``reader`` has its errors and notes."""
    config = reader.table(root)
    reader.tell_others(config, _ROOT)
    plugins = reader.table(config.get("plugins"))
    reader.tell_others(plugins, _PLUGINS)
    is_forward = reader.truth(config.get("show_forwarded_from"))
    is_past = reader.whole(config.get("mode")) == 1
    begin = len(reader.notes)
    filter_ = conditions(plugins.get("filter"), reader)
    transform = transforms(plugins, reader)
    if is_forward and transform:
        reader.note(
            plugins.get("replace") or plugins.get("caption") or root,
            "a forward shows the message as it is, in tgcf as here; the plugins that change texts "
            "were left out",
        )
        transform = []
    _tell_settings(config, plugins, reader, is_past=is_past)
    is_exact = all(it.effect is not Effect.DISABLED for it in reader.notes[begin:])
    sync = _sync(reader.table(config.get("live")), reader, is_forward=is_forward)
    found = []
    for part in reader.items(config.get("forwards")):
        forward = reader.table(part)
        reader.tell_others(forward, _FORWARD)
        named = [it] if (it := forward.get("source")) else [], reader.items(forward.get("dest"))
        name = name_of(reader.text(forward.get("con_name")), route_name("tgcf", *named))
        sources, destinations = (chats(them, reader, name) for them in named)
        is_used = reader.truth(forward.get("use_this"), True)
        if is_past and (reader.whole(forward.get("offset")) or reader.whole(forward.get("end"))):
            reader.note(part, "offset and end were left out", rule=name)
        if not sources or not destinations:
            reader.note(
                part,
                "this has no source, or no destination, so no rule was made of it",
                Effect.LEFT_OUT,
                rule=name,
            )
            continue
        found.append(
            (
                part,
                Draft(
                    name,
                    sources,
                    destinations,
                    "forward" if is_forward else "copy",
                    is_used and is_exact,
                    filter_,
                    transform,
                    sync,
                ),
            )
        )
    return found


def _sync(live: dict[str, Part], reader: Reader, *, is_forward: bool) -> list[str]:
    if reader.text(live.get("delete_on_edit")):
        reader.note(
            live["delete_on_edit"],
            "no text makes a copy be deleted; delete the message itself, which rules with "
            "'sync: deletes' follow",
        )
    follows = [] if is_forward else ["edits"]
    return [*follows, "deletes"] if reader.truth(live.get("delete_sync")) else follows


def _tell_settings(
    config: dict[str, Part], plugins: dict[str, Part], reader: Reader, *, is_past: bool
) -> None:
    login = reader.table(config.get("login"))
    if any(reader.text(login.get(it)) for it in _SECRETS):
        reader.note(
            config["login"],
            "logins are no part of rules; add the account with 'afx session login', or its "
            "session string with 'afx session import'",
        )
    if reader.items(config.get("admins")):
        reader.note(
            config["admins"],
            "there are no commands by chat; rules are changed with 'afx rule', the API or the "
            "dashboard",
        )
    if is_past:
        reader.note(
            config["mode"],
            "rules forward what is posted from now on; copy what is there already with 'afx task "
            "submit chat.backfill', and enable the rules if they are to go on from there",
            Effect.DISABLED,
        )
    if is_past and reader.whole(reader.table(config.get("past")).get("delay")):
        reader.note(config["past"], "no pause is needed: afx waits as Telegram asks for")
    advice = {
        "mark": "there are no watermarks",
        "ocr": "there is no text recognition",
        "sender": "another session posts only if the rule's option 'senders' names it",
    }
    for name, text in advice.items():
        plugin = reader.table(plugins.get(name))
        if reader.truth(plugin.get("check")):
            reader.note(
                plugins[name],
                f"{text}; enable the rules if they are right without it",
                Effect.DISABLED,
            )
