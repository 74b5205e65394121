"""How many transactions leaders have committed: a database that lost some has fewer."""


def up(migrator, db):
    db.execute_sql("ALTER TABLE cluster_state ADD COLUMN commits BIGINT NOT NULL DEFAULT 0")


def down(migrator, db):
    db.execute_sql("ALTER TABLE cluster_state DROP COLUMN commits")
