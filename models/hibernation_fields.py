"""What sessions store of their hibernation."""

from __future__ import annotations

from peewee import SQL, CharField, IntegerField

from models.base import Table, UtcField, one_of
from models.states import HIBERNATION_REASONS


class HibernationFields(Table):
    """The columns of ``sessions`` that are about hibernation; no table of its own."""

    hibernation = CharField(
        max_length=10,
        default="",
        constraints=[SQL("DEFAULT ''"), one_of("hibernation", ("", *HIBERNATION_REASONS))],
    )
    """Why it hibernates, also while it is awake for a short time; empty: it does not."""
    wakes_at = UtcField(null=True)
    """When it wakes by itself; None while it is awake, and when it does not hibernate."""
    login_at = UtcField(null=True)
    """When it got its login; None: when it was added."""
    login_days = IntegerField(null=True)
    """After how many days without use Telegram ends its login; None: nobody has asked."""
    awake_at = UtcField(null=True)
    """Since when it is awake for a short time; None otherwise."""
    sends = IntegerField(default=0, constraints=[SQL("DEFAULT 0")])
    """1: an enabled rule names it as a sender, so that it has to run; 0 otherwise."""
