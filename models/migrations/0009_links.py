"""Copies of the links, for the day on which Redis forgets them."""

from peewee import PostgresqlDatabase

_TABLE = (
    "CREATE TABLE rule_links ("
    " id {id} PRIMARY KEY, rule_id INTEGER NOT NULL REFERENCES rules (id) ON DELETE CASCADE,"
    " source BIGINT NOT NULL, destination BIGINT NOT NULL, block BIGINT NOT NULL,"
    " links TEXT NOT NULL, saved_at BIGINT NOT NULL)"
)
_INDEXES = (
    "CREATE UNIQUE INDEX rulelink_rule_id_source_destination_block"
    " ON rule_links (rule_id, source, destination, block)",
    "CREATE INDEX rulelink_saved_at ON rule_links (saved_at)",
)


def up(migrator, db):
    is_postgres = isinstance(db, PostgresqlDatabase)
    db.execute_sql(_TABLE.format(id="SERIAL" if is_postgres else "INTEGER NOT NULL"))
    for statement in _INDEXES:
        db.execute_sql(statement)


def down(migrator, db):
    db.execute_sql("DROP TABLE rule_links")
