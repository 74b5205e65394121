"""Why something happened to a session, as codes: what nodes report, and all others read."""

from __future__ import annotations

from enum import StrEnum


class StopReason(StrEnum):
    """Why a session stopped on a node."""

    REQUESTED = "requested"
    """The coordinator ordered it."""
    SUPERSEDED = "superseded"
    """The node was ordered to run it under a newer epoch."""
    CANCELLED = "cancelled"
    """It was ordered to stop before its start had ended."""
    NODE_STOPPING = "node_stopping"
    FENCED = "fenced"
    """Redis says that it belongs to another node, or to a newer epoch."""
    ALREADY_ENDED = "already_ended"
    """It had ended before under the epoch of the order."""


class FailureReason(StrEnum):
    """Why a session could not start, or could not go on."""

    LOGIN_LOST = "login_lost"
    """Telegram no longer accepts the login; a new sign-in is needed."""
    ACCOUNT_BANNED = "account_banned"
    """Telegram has deleted or banned the account; no sign-in helps."""
    LOGIN_UNREADABLE = "login_unreadable"
    """The sealed login does not open with this node's key."""
    SERVER_NOT_ALLOWED = "server_not_allowed"
    """The login names a server that is neither Telegram's nor a named test server."""
    SPEC_MISSING = "spec_missing"
    SPEC_INVALID = "spec_invalid"
    """It is not signed by this cluster for this session, or does not parse."""
    SPEC_OUTDATED = "spec_outdated"
    """It was signed for another assignment of this session."""
    STATE_MALFORMED = "state_malformed"
    """Its stored position, or another key of it in Redis, is malformed."""
    CHAT_UNKNOWN = "chat_unknown"
    """Nodes of an earlier version report it, as the next one; now only the rule stops."""
    CHAT_UNREADABLE = "chat_unreadable"
    START_TIMEOUT = "start_timeout"
    CONNECTION_FAILED = "connection_failed"
    """Telegram could not be reached, or did not answer."""
    PROXY_UNREACHABLE = "proxy_unreachable"
    """The session's proxy does not answer."""
    PROXY_REFUSED = "proxy_refused"
    """The session's proxy answers, and does not lead to Telegram."""
    PROXY_UNREADABLE = "proxy_unreadable"
    """The sealed proxy does not open with this node's key."""
    TELEGRAM_ERROR = "telegram_error"
    INTERNAL_ERROR = "internal_error"


class TroubleReason(StrEnum):
    """What hinders a session that goes on all the same."""

    CONNECTION_LOST = "connection_lost"
    RECONNECT_FAILED = "reconnect_failed"
    PROXY_FAILED = "proxy_failed"
    """Telegram cannot be reached through the session's proxy any more."""
    MESSAGE_REFUSED = "message_refused"
    DIFFERENCE_REFUSED = "difference_refused"
    CHAT_UNKNOWN = "chat_unknown"
    """A chat of a rule is not known to the account."""
    SOURCE_UNREADABLE = "source_unreadable"
    """A source of a rule cannot be read by the account."""
    DESTINATION_CLOSED = "destination_closed"
    """A destination of a rule takes no messages of the account."""
    OUTPUT_UNAVAILABLE = "output_unavailable"
    """A rule sends to a file or a feed, and its node has no directory for them."""
    RULE_INVALID = "rule_invalid"
    """A node cannot use a rule's filter or transforms."""
    CAP_REACHED = "cap_reached"
    """A rule has sent what its caps allow; what is more waits for the next hour, or day."""
    SENDER_UNAVAILABLE = "sender_unavailable"
    """A sender of a rule does not run, or cannot post; others send for it, if there are any."""
    ACCOUNT_LIMITED = "account_limited"
    """Telegram takes the account's sends for spam, for a time that it does not tell."""
    ACCOUNT_FROZEN = "account_frozen"
    """Telegram has frozen the account: it may read, and send nothing."""
    SEND_FAILED = "send_failed"
    """A send keeps failing for a reason that is not known to pass."""
    PLUGIN_FAILED = "plugin_failed"
    """A plug-in of a rule gives no answer, or is not installed."""
    STATE_MALFORMED = "state_malformed"
    """A key of the session in Redis has a value of a wrong type; its progress is not stored."""
    STORAGE_FULL = "storage_full"
    """Redis takes no progress; the session sends nothing more until it does."""
    INTERNAL_ERROR = "internal_error"


class DeadReason(StrEnum):
    """Why a message cannot be delivered, and is a dead letter."""

    MESSAGE_REFUSED = "message_refused"
    """Telegram refuses this message at its destination; another one may pass."""
    DESTINATION_CLOSED = "destination_closed"
    """The destination takes no messages of the account."""
    SOURCE_UNREADABLE = "source_unreadable"
    """Its source cannot be read any more."""
    MESSAGE_UNREADABLE = "message_unreadable"
    """Telegram refuses to give this message; others of its source can be read."""
    MESSAGE_GONE = "message_gone"
    """It was deleted before it could be sent."""
    RULE_CHANGED = "rule_changed"
    """It waited, and its rule does not forward there any more."""
    PLUGIN_FAILED = "plugin_failed"
    """A plug-in of its rule gave no answer; a retry asks it again."""
    NOT_JUDGED = "not_judged"
    """The rule's filter could not judge it; a retry asks the filter again."""
    EDIT_REFUSED = "edit_refused"
    """It was copied, and its copy could not be edited; a retry gives it its present content."""
    DELETE_REFUSED = "delete_refused"
    """It was copied and then deleted, and its copy could not be deleted."""
    PIN_REFUSED = "pin_refused"
    """It was copied, and its copy could not be pinned, or unpinned."""
    TOPIC_REFUSED = "topic_refused"
    """A topic could not be made, changed or deleted as that of the source was."""


class HeldEvent(StrEnum):
    """What has happened to a message that an operator has to approve."""

    HELD = "held"
    """It waits for an approval."""
    EDITED = "edited"
    """It was edited; what waits has this content now."""
    AGAIN = "again"
    """It was edited since it was approved, and waits once more."""


class HeldEnd(StrEnum):
    """Why a message waits for no approval any more."""

    RELEASED = "released"
    """It was approved, and is in its lane."""
    DELETED = "deleted"
    """Its source has deleted it."""


class TaskOutcome(StrEnum):
    """How one run of a task ended on a node."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """It cannot succeed, and is not tried again."""
    TRY_AGAIN = "try_again"
    """It may succeed later; it costs an attempt."""
    SNOOZED = "snoozed"
    """Telegram asks for a wait; it costs no attempt."""
    MOVED = "moved"
    """Its session does not run on the node, or not any more; it costs no attempt."""
    CANCELLED = "cancelled"
