"""What became of messages of all rules: sums of each minute."""

from peewee import PostgresqlDatabase

_COUNTS = ", ".join(
    f"{it} BIGINT NOT NULL" for it in ("forwarded", "skipped", "dead", "waits", "waited_ms")
)
_TABLE = (
    "CREATE TABLE message_minutes ("
    f" id {{id}} PRIMARY KEY, at BIGINT NOT NULL, {_COUNTS}, latencies TEXT NOT NULL)"
)


def up(migrator, db):
    is_postgres = isinstance(db, PostgresqlDatabase)
    db.execute_sql(_TABLE.format(id="BIGSERIAL" if is_postgres else "INTEGER NOT NULL"))
    db.execute_sql("CREATE UNIQUE INDEX messageminute_at ON message_minutes (at)")


def down(migrator, db):
    db.execute_sql("DROP TABLE message_minutes")
