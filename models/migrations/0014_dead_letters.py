"""What could not be delivered: references to messages, by rule, route and reason."""

from peewee import PostgresqlDatabase

_TABLE = (
    "CREATE TABLE dead_letters ("
    " id {id} PRIMARY KEY, rule_id INTEGER NOT NULL REFERENCES rules (id) ON DELETE CASCADE,"
    " source BIGINT NOT NULL, destination BIGINT NOT NULL, block BIGINT NOT NULL,"
    " reason VARCHAR(40) NOT NULL, error VARCHAR(100) NOT NULL, messages TEXT NOT NULL,"
    " count INTEGER NOT NULL, attempts INTEGER NOT NULL,"
    " first_at BIGINT NOT NULL, last_at BIGINT NOT NULL)"
)
_INDEX = (
    "CREATE UNIQUE INDEX deadletter_rule_id_source_destination_block_reason"
    " ON dead_letters (rule_id, source, destination, block, reason)"
)


def up(migrator, db):
    is_postgres = isinstance(db, PostgresqlDatabase)
    db.execute_sql(_TABLE.format(id="SERIAL" if is_postgres else "INTEGER NOT NULL"))
    db.execute_sql(_INDEX)


def down(migrator, db):
    db.execute_sql("DROP TABLE dead_letters")
