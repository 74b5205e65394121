"""Filters and transforms reach nodes without a restart of their sessions."""


def up(migrator, db):
    db.execute_sql("ALTER TABLE sessions ADD COLUMN content INTEGER NOT NULL DEFAULT 0")
    db.execute_sql("ALTER TABLE sessions ADD COLUMN renewed INTEGER NOT NULL DEFAULT 0")
    db.execute_sql("CREATE INDEX sessions_renewing ON sessions (id) WHERE content > renewed")


def down(migrator, db):
    db.execute_sql("DROP INDEX sessions_renewing")
    db.execute_sql("ALTER TABLE sessions DROP COLUMN renewed")
    db.execute_sql("ALTER TABLE sessions DROP COLUMN content")
