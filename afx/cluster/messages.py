"""Sentences for people, from the codes that nodes report."""

from __future__ import annotations

from afx.cluster.reports import Failed, RuleStopped, Stopped
from afx.reasons import FailureReason, StopReason, TroubleReason

_STOPPED = {
    StopReason.REQUESTED: "stopped on request",
    StopReason.SUPERSEDED: "restarted under a newer assignment",
    StopReason.CANCELLED: "stopped before it had started",
    StopReason.NODE_STOPPING: "the node is stopping",
    StopReason.FENCED: "it belongs to another node, or to a newer assignment",
    StopReason.ALREADY_ENDED: "it had ended on the node before",
}
_FAILED = {
    FailureReason.LOGIN_LOST: "Telegram no longer accepts the login; sign in again "
    "with 'afx session login NAME --again'",
    FailureReason.ACCOUNT_BANNED: "Telegram has banned or deleted the account",
    FailureReason.LOGIN_UNREADABLE: "the stored login cannot be read",
    FailureReason.SERVER_NOT_ALLOWED: "its login names a server that is not Telegram's",
    FailureReason.SPEC_MISSING: "its spec is missing in Redis",
    FailureReason.SPEC_INVALID: "its spec in Redis was refused",
    FailureReason.SPEC_OUTDATED: "its spec in Redis belongs to another assignment",
    FailureReason.STATE_MALFORMED: "what Redis stores of it is malformed",
    FailureReason.CHAT_UNKNOWN: "a chat of a rule is unknown to the account",
    FailureReason.CHAT_UNREADABLE: "a source chat cannot be read by the account",
    FailureReason.START_TIMEOUT: "it took too long to start",
    FailureReason.CONNECTION_FAILED: "Telegram could not be reached",
    FailureReason.PROXY_UNREACHABLE: "its proxy does not answer; see 'afx proxy check', or set "
    "another with 'afx session set NAME --proxy'",
    FailureReason.PROXY_REFUSED: "its proxy does not lead to Telegram; see 'afx proxy check', or "
    "set another with 'afx session set NAME --proxy'",
    FailureReason.PROXY_UNREADABLE: "its stored proxy cannot be read",
    FailureReason.TELEGRAM_ERROR: "Telegram refused a request",
    FailureReason.INTERNAL_ERROR: "an internal error",
}

_RULE_STOPPED = {
    TroubleReason.CHAT_UNKNOWN: "a chat is not known to the account",
    TroubleReason.SOURCE_UNREADABLE: "a source chat cannot be read by the account",
    TroubleReason.DESTINATION_CLOSED: "a destination takes no messages of the account",
    TroubleReason.OUTPUT_UNAVAILABLE: "its node has no 'output_directory', so it writes no "
    "files; set it in the settings of the nodes and restart them",
    TroubleReason.SEND_FAILED: "sends keep failing; they are tried again, and what fails for an "
    "hour is a dead letter",
    TroubleReason.CAP_REACHED: "it has sent what its caps allow",
    TroubleReason.RULE_INVALID: "its node cannot use its filter or transforms",
}


def ended(report: Stopped | Failed) -> str:
    """Return why a session ended, as a sentence with the node's own detail."""
    sentence = _STOPPED[report.reason] if isinstance(report, Stopped) else _FAILED[report.reason]
    return f"{sentence} ({report.text})" if report.text else sentence


def rule_stopped(report: RuleStopped) -> str:
    """Return why a rule does not forward all that it should, with the node's own detail."""
    sentence = _RULE_STOPPED.get(report.reason, "it does not forward all messages")
    return f"{sentence} ({report.text})" if report.text else sentence


def repeated(text: str, times: int) -> str:
    """Return a failure's text with how often it happened in a row."""
    return text if times == 1 else f"{text} ({times} times in a row)"
