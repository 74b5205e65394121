"""The words that columns of states and kinds may have."""

from __future__ import annotations

DESIRED_SESSION_STATES = ("running", "paused", "hibernated")
HIBERNATION_REASONS = ("requested", "no_rule", "quiet")
MODES = ("copy", "forward")
DESIRED_WORKER_STATES = ("ready", "cordoned", "draining")
ASSIGNMENT_STATES = ("assigned", "running", "stopping", "ended")
TASK_STATES = (
    "waiting",
    "queued",
    "published",
    "running",
    "succeeded",
    "failed",
    "cancelled",
    "paused",
)
CONTROL_STATES = ("requested", "sent", "acknowledged", "done", "failed", "cancelled")
CONTROL_KINDS = (
    "cordon",
    "uncordon",
    "drain",
    "stop",
    "recycle",
    "move",
    "pause",
    "resume",
    "remove",
    "hibernate",
    "wake",
    "replace",
)
CONTROL_SUBJECTS = ("node", "session", "coordinators")
ACCOUNT_HEALTH = ("healthy", "limited", "frozen", "needs_login", "banned")
PROXY_KINDS = ("socks5", "http", "mtproxy")
PROXY_STATES = ("unknown", "works", "fails")
