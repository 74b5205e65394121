"""Tokens with an owner and an accessor; requests that were answered; sign-ins that were ended; the
sessions of a user in the order of their names.

No command has made a token before: the table is made anew.
"""

from peewee import (
    AutoField,
    BigIntegerField,
    CharField,
    ForeignKeyField,
    IntegerField,
    Model,
    TextField,
)


def _tables(db):
    class Base(Model):
        class Meta:
            database = db
            legacy_table_names = False

    class User(Base):
        id = AutoField()

        class Meta:
            table_name = "users"

    class ApiToken(Base):
        id = AutoField()
        name = CharField(max_length=100, unique=True)
        accessor = CharField(max_length=16, unique=True)
        digest = CharField(max_length=64, unique=True)
        scopes = TextField()
        owner = ForeignKeyField(User, null=True, on_delete="CASCADE")
        created_at = BigIntegerField()
        expires_at = BigIntegerField()
        last_used_at = BigIntegerField(null=True)
        revoked_at = BigIntegerField(null=True)

        class Meta:
            table_name = "api_tokens"

    class ApiRequest(Base):
        id = AutoField()
        token = ForeignKeyField(ApiToken, on_delete="CASCADE", index=False)
        key = CharField(max_length=100)
        digest = CharField(max_length=64)
        status = IntegerField(default=0)
        headers = TextField()
        body = TextField(default="")
        created_at = BigIntegerField(index=True)

        class Meta:
            table_name = "api_requests"
            indexes = ((("token", "key"), True),)

    class ApiSignOut(Base):
        nonce = CharField(max_length=32, primary_key=True)
        expires_at = BigIntegerField(index=True)

        class Meta:
            table_name = "api_sign_outs"

    return [ApiToken, ApiRequest, ApiSignOut]


def _old_table(db):
    class ApiToken(Model):
        id = AutoField()
        name = CharField(max_length=100, unique=True)
        digest = CharField(max_length=64, unique=True)
        scopes = TextField()
        created_at = BigIntegerField()
        expires_at = BigIntegerField(null=True)
        last_used_at = BigIntegerField(null=True)
        revoked_at = BigIntegerField(null=True)

        class Meta:
            database = db
            table_name = "api_tokens"

    return [ApiToken]


def up(migrator, db):
    db.drop_tables(_old_table(db))
    db.create_tables(_tables(db), safe=False)
    db.execute_sql("CREATE INDEX sessions_user_name ON sessions (user_id, name)")


def down(migrator, db):
    db.execute_sql("DROP INDEX sessions_user_name")
    db.drop_tables(_tables(db)[::-1])
    db.create_tables(_old_table(db), safe=False)
