"""Sessions that rules name as their senders run also without a rule of their own."""


def up(migrator, db):
    db.execute_sql("ALTER TABLE sessions ADD COLUMN sends INTEGER NOT NULL DEFAULT 0")


def down(migrator, db):
    db.execute_sql("ALTER TABLE sessions DROP COLUMN sends")
