"""Dead letters by their age: those that are kept for too long are deleted."""


def up(migrator, db):
    db.execute_sql("CREATE INDEX deadletter_last_at ON dead_letters (last_at)")


def down(migrator, db):
    db.execute_sql("DROP INDEX deadletter_last_at")
