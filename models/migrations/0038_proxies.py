"""Proxies, and the proxy of each session."""

from peewee import SQL, AutoField, BigIntegerField, CharField, Check, IntegerField, TextField

from afx.errors import ConflictError


def up(migrator, db):
    class Proxy(db.Model):
        id = AutoField()
        name = CharField(max_length=100, unique=True)
        pool = CharField(max_length=100, constraints=[SQL("DEFAULT ''")])
        kind = CharField(
            max_length=10, constraints=[Check("kind IN ('socks5', 'http', 'mtproxy')")]
        )
        host = CharField(max_length=255)
        port = IntegerField()
        sealed = TextField()
        requires = TextField(constraints=[SQL("DEFAULT '{}'")])
        state = CharField(
            max_length=10,
            constraints=[SQL("DEFAULT 'unknown'"), Check("state IN ('unknown', 'works', 'fails')")],
        )
        state_since = BigIntegerField(null=True)
        checked_at = BigIntegerField(null=True)
        error = CharField(max_length=200, constraints=[SQL("DEFAULT ''")])
        created_at = BigIntegerField()

        class Meta:
            table_name = "proxies"

    db.create_tables([Proxy])
    db.execute_sql(
        "ALTER TABLE sessions ADD COLUMN proxy_id INTEGER REFERENCES proxies (id)"
        " ON DELETE RESTRICT"
    )
    db.execute_sql("CREATE INDEX sessions_proxy ON sessions (proxy_id)")


def down(migrator, db):
    query = "SELECT COUNT(*) FROM sessions WHERE proxy_id IS NOT NULL"
    if count := db.execute_sql(query).fetchone()[0]:
        raise ConflictError(
            f"{count} session(s) have a proxy, and would connect directly without this migration; "
            "give them none ('afx session set NAME --no-proxy'), then downgrade again."
        )
    db.execute_sql("DROP INDEX sessions_proxy")
    db.execute_sql("ALTER TABLE sessions DROP COLUMN proxy_id")
    db.execute_sql("DROP TABLE proxies")
