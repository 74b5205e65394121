"""On Postgres, sessions by the beginning of their names: its order of texts depends on a locale,
so the index of the names does not find a beginning. SQLite's does.
"""

from peewee import PostgresqlDatabase


def up(migrator, db):
    if isinstance(db, PostgresqlDatabase):
        db.execute_sql("CREATE INDEX sessions_name_pattern ON sessions (name varchar_pattern_ops)")


def down(migrator, db):
    db.execute_sql("DROP INDEX IF EXISTS sessions_name_pattern")
