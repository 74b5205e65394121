"""The tables of the audit log."""

from __future__ import annotations

from peewee import CharField, Check, IntegerField

from models.base import JsonField, Table, UtcField


class AuditEntry(Table):
    """One change; each entry seals the one before it.

    The database refuses to update or delete entries (triggers of the migration).
    """

    id = IntegerField(primary_key=True)
    """1, 2, 3, … without a gap."""
    at = UtcField()
    actor = CharField(max_length=100)
    action = CharField(max_length=60)
    target = CharField(max_length=255, index=True)
    details = JsonField()
    previous = CharField(max_length=64)
    digest = CharField(max_length=64)

    class Meta:
        table_name = "audit_log"


class AuditHead(Table):
    """The number of audit entries and the last digest: one row, which serialises writers."""

    id = IntegerField(primary_key=True, constraints=[Check("id = 1")])
    entries = IntegerField(default=0)
    digest = CharField(max_length=64, default="")

    class Meta:
        table_name = "audit_head"
