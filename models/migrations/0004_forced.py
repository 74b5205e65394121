"""Controls that may be forced: a host that does not answer is ended, not asked."""


def up(migrator, db):
    db.execute_sql("ALTER TABLE worker_controls ADD COLUMN forced BOOLEAN NOT NULL DEFAULT FALSE")


def down(migrator, db):
    db.execute_sql("ALTER TABLE worker_controls DROP COLUMN forced")
