"""Controls, tasks, scaling events, tokens, audit; roll-ups of analytics."""

from peewee import (
    AutoField,
    BigIntegerField,
    CharField,
    Check,
    FloatField,
    ForeignKeyField,
    IntegerField,
    PostgresqlDatabase,
    TextField,
)

_TASKS = "'queued', 'running', 'succeeded', 'failed', 'cancelled'"
_CONTROLS = "'requested', 'sent', 'acknowledged', 'done', 'failed', 'cancelled'"
_KINDS = "'cordon', 'uncordon', 'drain', 'stop', 'recycle', 'move', 'pause', 'resume', 'remove'"

_UP = (
    "ALTER TABLE sessions ADD COLUMN fingerprint VARCHAR(64)",
    "CREATE UNIQUE INDEX session_fingerprint ON sessions (fingerprint)",
    "ALTER TABLE sessions ADD COLUMN removing BOOLEAN NOT NULL DEFAULT FALSE",
    "CREATE INDEX sessions_troubled ON sessions (name) WHERE trouble <> ''",
    "CREATE INDEX sessions_paused ON sessions (id) WHERE desired_state = 'paused'",
    "CREATE INDEX sessions_removing ON sessions (id) WHERE removing",
    "ALTER TABLE rules ADD COLUMN name VARCHAR(100) NOT NULL DEFAULT ''",
    "UPDATE rules SET name = 'rule-' || id",
    "CREATE UNIQUE INDEX rule_session_id_name ON rules (session_id, name)",
    "ALTER TABLE workers ADD COLUMN desired_state VARCHAR(10) NOT NULL DEFAULT 'ready'"
    " CHECK (desired_state IN ('ready', 'cordoned', 'draining'))",
    "ALTER TABLE workers ADD COLUMN forwarded BIGINT NOT NULL DEFAULT 0",
    "CREATE INDEX session_assignments_ended_at ON session_assignments (ended_at)",
    "ALTER TABLE worker_analytics ADD COLUMN span INTEGER NOT NULL DEFAULT 0"
    " CHECK (span IN (0, 60, 3600))",
    "ALTER TABLE worker_analytics ADD COLUMN samples INTEGER NOT NULL DEFAULT 1",
    "ALTER TABLE worker_analytics ADD COLUMN rss_max BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE worker_analytics ADD COLUMN cpu_max REAL NOT NULL DEFAULT 0",
    "ALTER TABLE worker_analytics ADD COLUMN sessions_max INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE worker_analytics ADD COLUMN load_max REAL NOT NULL DEFAULT 0",
    "UPDATE worker_analytics SET rss_max = rss, cpu_max = cpu, sessions_max = sessions,"
    " load_max = load",
    "DROP INDEX workeranalytics_worker_at",
    "CREATE UNIQUE INDEX workeranalytics_worker_span_at ON worker_analytics (worker, span, at)",
    "CREATE INDEX workeranalytics_span_at ON worker_analytics (span, at)",
    "ALTER TABLE cluster_state ADD COLUMN minutes_to BIGINT",
    "ALTER TABLE cluster_state ADD COLUMN hours_to BIGINT",
    "ALTER TABLE cluster_state ADD COLUMN next_session INTEGER NOT NULL DEFAULT 1",
    "INSERT INTO cluster_state (id, generation, term) VALUES (1, 0, 0) ON CONFLICT DO NOTHING",
    "UPDATE cluster_state SET next_session = (SELECT COALESCE(MAX(id), 0) + 1 FROM sessions)",
)
_DOWN = (
    "ALTER TABLE cluster_state DROP COLUMN next_session",
    "ALTER TABLE cluster_state DROP COLUMN hours_to",
    "ALTER TABLE cluster_state DROP COLUMN minutes_to",
    "DROP INDEX workeranalytics_span_at",
    "DROP INDEX workeranalytics_worker_span_at",
    "DELETE FROM worker_analytics WHERE span > 0",
    "ALTER TABLE worker_analytics DROP COLUMN load_max",
    "ALTER TABLE worker_analytics DROP COLUMN sessions_max",
    "ALTER TABLE worker_analytics DROP COLUMN cpu_max",
    "ALTER TABLE worker_analytics DROP COLUMN rss_max",
    "ALTER TABLE worker_analytics DROP COLUMN samples",
    "ALTER TABLE worker_analytics DROP COLUMN span",
    "CREATE INDEX workeranalytics_worker_at ON worker_analytics (worker, at)",
    "DROP INDEX session_assignments_ended_at",
    "ALTER TABLE workers DROP COLUMN forwarded",
    "ALTER TABLE workers DROP COLUMN desired_state",
    "DROP INDEX rule_session_id_name",
    "ALTER TABLE rules DROP COLUMN name",
    "DROP INDEX sessions_removing",
    "DROP INDEX sessions_paused",
    "DROP INDEX sessions_troubled",
    "ALTER TABLE sessions DROP COLUMN removing",
    "DROP INDEX session_fingerprint",
    "ALTER TABLE sessions DROP COLUMN fingerprint",
)
_SQLITE_GUARD = (
    "CREATE TRIGGER audit_log_no_update BEFORE UPDATE ON audit_log"
    " BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END",
    "CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log"
    " BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END",
)
_POSTGRES_GUARD = (
    "CREATE FUNCTION audit_log_refuse() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$",
    "CREATE TRIGGER audit_log_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log"
    " FOR EACH STATEMENT EXECUTE FUNCTION audit_log_refuse()",
)


def _tables(db):
    base = db.Model

    class Session(base):
        id = AutoField()

        class Meta:
            table_name = "sessions"

    class WorkerTask(base):
        id = AutoField()
        kind = CharField(max_length=40)
        state = CharField(max_length=10, constraints=[Check(f"state IN ({_TASKS})")])
        priority = IntegerField()
        session = ForeignKeyField(Session, null=True, on_delete="SET NULL")
        worker = CharField(max_length=100)
        incarnation = CharField(max_length=40)
        arguments = TextField()
        result = TextField(null=True)
        error = TextField()
        progress = FloatField(constraints=[Check("progress BETWEEN 0 AND 1")])
        attempts = IntegerField()
        max_attempts = IntegerField(constraints=[Check("max_attempts >= 1")])
        timeout_seconds = IntegerField(constraints=[Check("timeout_seconds >= 1")])
        run_after = BigIntegerField()
        created_at = BigIntegerField()
        started_at = BigIntegerField(null=True)
        finished_at = BigIntegerField(null=True)

        class Meta:
            table_name = "worker_tasks"
            indexes = ((("kind", "state"), False),)

    tasks = WorkerTask
    tasks.add_index(
        tasks.index(
            tasks.priority, tasks.id, where=(tasks.state == "queued"), name="worker_tasks_queued"
        )
    )
    tasks.add_index(
        tasks.index(
            tasks.incarnation, where=(tasks.state == "running"), name="worker_tasks_running"
        )
    )
    tasks.add_index(tasks.index(tasks.finished_at, name="worker_tasks_finished_at"))

    class WorkerControl(base):
        id = AutoField()
        kind = CharField(max_length=10, constraints=[Check(f"kind IN ({_KINDS})")])
        state = CharField(max_length=12, constraints=[Check(f"state IN ({_CONTROLS})")])
        subject = CharField(
            max_length=12, constraints=[Check("subject IN ('node', 'session', 'coordinators')")]
        )
        worker = CharField(max_length=100)
        incarnation = CharField(max_length=40)
        session = ForeignKeyField(Session, null=True, on_delete="SET NULL")
        actor = CharField(max_length=100)
        note = TextField()
        created_at = BigIntegerField()
        sent_at = BigIntegerField(null=True)
        acknowledged_at = BigIntegerField(null=True)
        finished_at = BigIntegerField(null=True)

        class Meta:
            table_name = "worker_controls"
            indexes = ((("worker",), False),)

    controls = WorkerControl
    controls.add_index(
        controls.index(
            controls.id,
            where=(controls.state.in_(("requested", "sent", "acknowledged"))),
            name="worker_controls_open",
        )
    )
    controls.add_index(controls.index(controls.finished_at, name="worker_controls_finished_at"))

    class ScalingEvent(base):
        id = AutoField()
        at = BigIntegerField(index=True)
        decision = CharField(max_length=4, constraints=[Check("decision IN ('out', 'in', 'hold')")])
        current = IntegerField()
        desired = IntegerField()
        reason = TextField()
        figures = TextField()

        class Meta:
            table_name = "scaling_events"

    class ApiToken(base):
        id = AutoField()
        name = CharField(max_length=100, unique=True)
        digest = CharField(max_length=64, unique=True)
        scopes = TextField()
        created_at = BigIntegerField()
        expires_at = BigIntegerField(null=True)
        last_used_at = BigIntegerField(null=True)
        revoked_at = BigIntegerField(null=True)

        class Meta:
            table_name = "api_tokens"

    class AuditEntry(base):
        id = IntegerField(primary_key=True)
        at = BigIntegerField()
        actor = CharField(max_length=100)
        action = CharField(max_length=60)
        target = CharField(max_length=255, index=True)
        details = TextField()
        previous = CharField(max_length=64)
        digest = CharField(max_length=64)

        class Meta:
            table_name = "audit_log"

    class AuditHead(base):
        id = IntegerField(primary_key=True, constraints=[Check("id = 1")])
        entries = IntegerField()
        digest = CharField(max_length=64)

        class Meta:
            table_name = "audit_head"

    return [WorkerTask, WorkerControl, ScalingEvent, ApiToken, AuditEntry, AuditHead]


def up(migrator, db):
    for statement in _UP:
        db.execute_sql(statement)
    db.create_tables(_tables(db), safe=False)
    db.execute_sql("INSERT INTO audit_head (id, entries, digest) VALUES (1, 0, '')")
    postgres = isinstance(db, PostgresqlDatabase)
    for statement in _POSTGRES_GUARD if postgres else _SQLITE_GUARD:
        db.execute_sql(statement)


def down(migrator, db):
    db.drop_tables(_tables(db))
    if isinstance(db, PostgresqlDatabase):
        db.execute_sql("DROP FUNCTION audit_log_refuse()")
    for statement in _DOWN:
        db.execute_sql(statement)
