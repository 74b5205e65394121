"""Sessions know whose login they have: the account's id, and whether it is a bot."""


def up(migrator, db):
    db.execute_sql("ALTER TABLE sessions ADD COLUMN account BIGINT")
    db.execute_sql("ALTER TABLE sessions ADD COLUMN bot BOOLEAN NOT NULL DEFAULT FALSE")


def down(migrator, db):
    db.execute_sql("ALTER TABLE sessions DROP COLUMN bot")
    db.execute_sql("ALTER TABLE sessions DROP COLUMN account")
