"""Messages that wait until an operator approves them."""

from peewee import PostgresqlDatabase

_TABLE = (
    "CREATE TABLE held_messages ("
    " id {id} PRIMARY KEY, rule_id INTEGER NOT NULL REFERENCES rules (id) ON DELETE CASCADE,"
    " source BIGINT NOT NULL, destination BIGINT NOT NULL, message INTEGER NOT NULL,"
    " album INTEGER NOT NULL, version BIGINT NOT NULL, state VARCHAR(10) NOT NULL"
    " CHECK (state IN ('held', 'approved', 'released', 'rejected', 'expired', 'deleted')),"
    " content TEXT NOT NULL, held_at BIGINT NOT NULL, changed_at BIGINT NOT NULL,"
    " expires_at BIGINT NOT NULL, decided_at BIGINT, actor VARCHAR(100) NOT NULL)"
)
_INDEXES = (
    "CREATE UNIQUE INDEX heldmessage_rule_id_source_destination_message"
    " ON held_messages (rule_id, source, destination, message)",
    "CREATE INDEX heldmessage_rule_id_state ON held_messages (rule_id, state)",
    "CREATE INDEX held_messages_waiting ON held_messages (expires_at) WHERE state = 'held'",
    "CREATE INDEX held_messages_decided_at ON held_messages (decided_at)",
)


def up(migrator, db):
    is_postgres = isinstance(db, PostgresqlDatabase)
    db.execute_sql(_TABLE.format(id="SERIAL" if is_postgres else "INTEGER NOT NULL"))
    for statement in _INDEXES:
        db.execute_sql(statement)


def down(migrator, db):
    db.execute_sql("DROP TABLE held_messages")
