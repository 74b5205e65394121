"""No rule gets the id of one that was removed, which SQLite would give it."""


def up(migrator, db):
    db.execute_sql("ALTER TABLE cluster_state ADD COLUMN next_rule INTEGER NOT NULL DEFAULT 1")
    db.execute_sql(
        "UPDATE cluster_state SET next_rule = (SELECT COALESCE(MAX(id), 0) + 1 FROM rules)"
    )


def down(migrator, db):
    db.execute_sql("ALTER TABLE cluster_state DROP COLUMN next_rule")
