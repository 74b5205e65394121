"""What else a rule does, besides what it filters, changes and follows: ``options``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from afx.forwarding.alerts import ALERTS, Alert, alert_sentences, compile_alerts
from afx.forwarding.buttons import BUTTONS, Buttons, buttons_sentence, compile_buttons
from afx.forwarding.caps import CAPS, Caps, caps_sentence, compile_caps
from afx.forwarding.dedupe import (
    DEDUPE,
    Dedupe,
    compile_dedupe,
    dedupe_sentence,
    shown_dedupe,
)
from afx.forwarding.digests import (
    DIGEST,
    Digest,
    compile_digest,
    digest_sentence,
    shown_digest,
)
from afx.forwarding.forms import Duration, Table, Truth, duration_text
from afx.forwarding.hours import HOURS, ZONE, Hours, compile_hours, wrong_quiet
from afx.forwarding.plugin_options import PLUGINS, Plugin, compile_plugins, plugin_sentences
from afx.forwarding.protected import PROTECTED, compile_protected, protected_sentence
from afx.forwarding.review import REVIEW, review_seconds, review_sentence, shown_review
from afx.forwarding.senders import SENDERS, compile_senders, senders_sentence

LONGEST_DELAY = 7 * 86_400
LONGEST_REREAD = 86_400
LONGEST_LIFE = 30 * 86_400
"""Seconds after which a copy is deleted at the latest."""
_NOT_WITH_DIGEST = ("delay", "reread", "caps", "plugins", "senders", "review")


def _wrong_together(value: Mapping[str, Any]) -> str | None:
    """Return what is wrong with options that exclude each other."""
    if value.get("review") and value.get("reread"):
        return "'review' and 'reread' exclude each other: what is reviewed is what is sent"
    if value.get("senders") and value.get("protected") == "reupload":
        return "'senders' and 'protected: reupload' exclude each other: who reads a file uploads it"
    if value.get("senders") and any(it.get("files") for it in value.get("plugins", ())):
        return "'senders' and 'files' of a plug-in exclude each other: who reads a file uploads it"
    if value.get("digest"):
        for name in _NOT_WITH_DIGEST:
            if value.get(name):
                return f"'digest' and '{name}' exclude each other"
    if value.get("review") and value.get("snapshot"):
        return "'review' and 'snapshot' exclude each other: nobody approves what is deleted"
    return None


OPTIONS = Table(
    "What else the rule does.",
    {
        "dedupe": DEDUPE,
        "delay": Duration(
            "How long after its message a copy is sent; what is deleted before is not copied.",
            1,
            LONGEST_DELAY,
        ),
        "reread": Duration(
            "How long after its message a copy is sent, of the message as it is then: the filter "
            "and dedupe judge it by that.",
            1,
            LONGEST_REREAD,
        ),
        "digest": DIGEST,
        "quiet_hours": Table(
            "When nothing is sent; it waits until the hours are over.",
            {"hours": HOURS, "zone": ZONE},
            required=("hours",),
            whole=wrong_quiet,
        ),
        "auto_delete": Duration("How long after it was made a copy is deleted.", 1, LONGEST_LIFE),
        "replies": Truth("Whether the copy of an answer answers the copy; it does by default."),
        "caps": CAPS,
        "plugins": PLUGINS,
        "senders": SENDERS,
        "review": REVIEW,
        "alerts": ALERTS,
        "snapshot": Truth(
            "Whether messages are stored as they come, and sent also when they are deleted before; "
            "they are not by default."
        ),
        "buttons": BUTTONS,
        "join": Truth(
            "Whether the account joins the chats that the rule names by invite links; it does not "
            "by default."
        ),
        "strangers": Truth(
            "Whether it sends to users who are no contacts and have no conversation with the "
            "account; it does not by default."
        ),
        "protected": PROTECTED,
    },
    whole=_wrong_together,
)


@dataclass(slots=True, frozen=True)
class Options:
    """A rule's options, as a node uses them; times are in seconds."""

    dedupe: Dedupe | None = None
    """How long the same content, or nearly the same, is a duplicate; None: never."""
    delay: int = 0
    """How long after its message a copy is sent."""
    quiet_hours: Hours | None = None
    """When nothing is sent."""
    auto_delete: int = 0
    """How long after it was made a copy is deleted; 0: never."""
    replies: bool = True
    """Whether the copy of an answer answers the copy of what it answers."""
    caps: Caps | None = None
    """How many copies a destination gets in an hour and a day."""
    plugins: tuple[Plugin, ...] = ()
    """What changes its copies, after its transforms."""
    reread: int = 0
    """How long after its message a copy is judged and sent, as the message is then."""
    review: int = 0
    """How long a message waits for an operator's approval; 0: it needs none."""
    snapshot: bool = False
    """Whether messages are stored as they come, and sent also when they are deleted before."""
    senders: tuple[tuple[str, int], ...] = ()
    """The sessions that post its copies, with their ids (0: it does not exist); none: its own."""
    alerts: Alert | None = None
    """Which messages of its sources webhooks are told of."""
    buttons: Buttons = ""
    """What becomes of inline buttons; "": what Telegram does."""
    join: bool = False
    """Whether the account joins the chats that are named by invite links."""
    strangers: bool = False
    """Whether it sends to users who do not know the account."""
    reupload: bool = False
    """Whether files that may not be forwarded are downloaded, and uploaded anew."""
    digest: Digest | None = None
    """When its messages are sent together; None: each is sent by itself."""

    @property
    def hold(self) -> int:
        """How long after its message a copy is sent."""
        return max(self.delay, self.reread)

    @property
    def is_timed(self) -> bool:
        """Whether anything is sent, or deleted, later than at once, by the clock or a person."""
        waits = self.hold or self.quiet_hours or self.caps or self.review or self.digest
        return bool(waits or self.auto_delete)

    def due(self, posted: float) -> float:
        """Return when a message is sent that was posted then, but for quiet hours and caps."""
        return float(self.digest.due(posted)) if self.digest else posted + self.hold

    def quiet_until(self, now: float) -> float:
        """Return until when nothing is sent, ``now`` outside quiet hours; in Unix seconds."""
        return self.quiet_hours.until(now) if self.quiet_hours else now

    def held(self, posted: float) -> float:
        """Return for how many seconds a message is held back that was posted then."""
        due = self.due(posted)
        return max(due, self.quiet_until(due)) - posted


NO_OPTIONS = Options()


def compile_options(options: Mapping[str, Any]) -> Options:
    """Return options as a node uses them.

    Raises ValueError for what it does not know, and LookupError for an unknown time zone.
    """
    if not options:
        return NO_OPTIONS
    if unknown := set(options) - set(OPTIONS.fields):
        raise ValueError(f"this node does not know the option {sorted(unknown)[0]!r}")
    quiet, caps = options.get("quiet_hours"), options.get("caps")
    return Options(
        compile_dedupe(options["dedupe"]) if options.get("dedupe") else None,
        _seconds(options.get("delay", 0)),
        compile_hours(quiet) if quiet else None,
        _seconds(options.get("auto_delete", 0)),
        _truth(options.get("replies", True)),
        compile_caps(caps) if caps else None,
        compile_plugins(options.get("plugins", ())),
        _seconds(options.get("reread", 0)),
        review_seconds(options.get("review", False)),
        _truth(options.get("snapshot", False)),
        compile_senders(options.get("senders", ())),
        compile_alerts(options["alerts"]) if options.get("alerts") is not None else None,
        compile_buttons(options.get("buttons", "")),
        _truth(options.get("join", False)),
        _truth(options.get("strangers", False)),
        compile_protected(options.get("protected", "")),
        compile_digest(options["digest"]) if options.get("digest") is not None else None,
    )


def _seconds(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("an option is not a time in seconds")
    return value


def _truth(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError("an option is not true or false")
    return value


def shown_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as people write them."""
    shown = {name: duration_text(it) if type(it) is int else it for name, it in options.items()}
    return {**shown, **shown_dedupe(options), **shown_review(options), **shown_digest(options)}


def sentences(options: Mapping[str, Any]) -> list[str]:
    """Return options in words."""
    found = []
    if dedupe := options.get("dedupe"):
        found.append(dedupe_sentence(dedupe))
    if delay := options.get("delay"):
        found.append(
            f"A copy is sent {duration_text(delay)} after its message, as the message is then; "
            "what is deleted before is not copied."
        )
    if reread := options.get("reread"):
        found.append(
            f"A message is read anew {duration_text(reread)} after it was posted, and judged and "
            "sent as it is then; what is deleted before is not copied."
        )
    if digest := options.get("digest"):
        found.append(digest_sentence(digest))
    if quiet := options.get("quiet_hours"):
        found.append(
            f"Nothing is sent in the hours {', '.join(quiet['hours'])} "
            f"({quiet.get('zone', 'UTC')}); it waits until they are over."
        )
    if life := options.get("auto_delete"):
        found.append(f"A copy is deleted {duration_text(life)} after it was made.")
    if seconds := review_seconds(options.get("review", False)):
        found.append(review_sentence(seconds))
    if options.get("replies") is False:
        found.append("The copy of an answer answers nothing.")
    if alerts := options.get("alerts"):
        found += alert_sentences(alerts)
    if options.get("snapshot"):
        found.append(
            "Messages are stored as they come, and copied also when they are deleted before; not "
            "in mode forward, and not where the copies follow deletes."
        )
    if options.get("join"):
        found.append("The account joins the chats that are named by invite links, a few a day.")
    if options.get("strangers"):
        found.append("It sends to users who do not know the account, too.")
    if buttons := options.get("buttons"):
        found.append(buttons_sentence(buttons))
    if protected := options.get("protected"):
        found.append(protected_sentence(protected))
    if caps := options.get("caps"):
        found.append(caps_sentence(caps))
    found += plugin_sentences(options.get("plugins", ()))
    if senders := options.get("senders"):
        found.append(senders_sentence(senders))
    return found
