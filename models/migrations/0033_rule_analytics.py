"""What became of messages by rule: sums of each hour and of each day."""

from peewee import PostgresqlDatabase

_COUNTS = ", ".join(
    f"{it} BIGINT NOT NULL" for it in ("forwarded", "skipped", "dead", "waits", "waited_ms")
)
_TABLE = (
    "CREATE TABLE rule_analytics ("
    " id {id} PRIMARY KEY, rule_id INTEGER NOT NULL REFERENCES rules (id) ON DELETE CASCADE,"
    " span INTEGER NOT NULL CHECK (span IN (3600, 86400)), at BIGINT NOT NULL,"
    f" {_COUNTS}, latencies TEXT NOT NULL)"
)
_INDEXES = (
    "CREATE UNIQUE INDEX ruleanalytics_rule_id_span_at ON rule_analytics (rule_id, span, at)",
    "CREATE INDEX ruleanalytics_span_at ON rule_analytics (span, at)",
)


def up(migrator, db):
    is_postgres = isinstance(db, PostgresqlDatabase)
    db.execute_sql(_TABLE.format(id="BIGSERIAL" if is_postgres else "INTEGER NOT NULL"))
    for statement in _INDEXES:
        db.execute_sql(statement)


def down(migrator, db):
    db.execute_sql("DROP TABLE rule_analytics")
