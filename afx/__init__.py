"""AutoForwardX: thousands of Telegram sessions, forwarding, on a cluster."""

__version__ = "0.1.0"
