"""The whole protocol: keys and management of clients, devices, pushed requests, DPoP, identities.

Revision: 0002, after 0001
"""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_INSTANT = sa.DateTime(timezone=True)
_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")

# Name, type and comment.
_NEW_COLUMNS: Mapping[str, Sequence[tuple[str, Any, str]]] = {
    "clients": (
        ("jwks", _JSON, "Public keys that it registered itself (RFC 7517 §5)"),
        ("jwks_uri", sa.Text(), "Address at which it publishes its keys"),
        ("token_endpoint_auth_signing_alg", sa.Text(), "JWS algorithm of its assertions; empty for any"),
        (
            "registration_token_hash",
            sa.Text(),
            "Keyed hash of its registration access token (RFC 7592); empty where it has none",
        ),
        (
            "introspects",
            _JSON,
            "Resources whose access tokens it may look at, as the operator said; empty for none",
        ),
        (
            "fingerprint",
            sa.Text(),
            "Hash of what it registered, the same for registrations that say the same; of others their id",
        ),
        ("registered_with", sa.Text(), "Initial access token of its registration; empty without"),
    ),
    "authorization_requests": (
        ("nonce", sa.Text(), "The client's nonce, repeated in the ID token"),
        ("dpop_jkt", sa.Text(), "Thumbprint of the key that the code is bound to (RFC 9449 §10)"),
        (
            "signed_in_after",
            _INSTANT,
            "The person must have signed in at this instant or later (prompt, max_age); empty for any time",
        ),
        (
            "subject",
            sa.Text(),
            "The one person who may answer, by the client's ID token (id_token_hint); empty for anyone",
        ),
        ("login_hint", sa.Text(), "The name that the client would fill in at sign-in"),
    ),
    "authorization_codes": (
        ("nonce", sa.Text(), "The client's nonce, repeated in the ID token"),
        ("dpop_jkt", sa.Text(), "Thumbprint of the key that it is bound to (RFC 9449 §10)"),
    ),
    "refresh_tokens": (
        (
            "dpop_jkt",
            sa.Text(),
            "Thumbprint of the key that a public client must prove to hold (RFC 9449 §5)",
        ),
    ),
    "grants": (
        ("authenticated_at", _INSTANT, "When the person had signed in who approved (auth_time)"),
        ("props_sealed", sa.Text(), "What the operator's hooks attached, encrypted under SECRET_KEY"),
        (
            "client_snapshot",
            sa.Text(),
            "How the client authenticated when it was approved, and a hash of what it said about itself",
        ),
    ),
}
_NEVER_USED = "registration = 'dynamic' AND registered_with IS NULL AND last_used_at IS NULL"
# Columns that may be empty from now on, with what they tell: before and now.
_LOOSENED = (
    ("grants", "user_id", "Who allowed it", "Who allowed it; empty for a client that acts for itself"),
    ("grants", "redirect_uri", "Where the code was sent", "Where the code was sent; empty where none was"),
    (
        "users",
        "password_hash",
        "argon2id hash with its salt and parameters",
        "argon2id hash with its salt and parameters; empty without a password",
    ),
)
# What the previous code could not read: grants without a person, people without a password, and what hangs on them,
# spelled out because SQLite does not see to it here. And what it would read without its limits: a token that is bound
# to a key would be good for whoever has it, and a request for a new sign-in could be approved without one.
_NOT_FOR_THE_PREVIOUS_CODE = (
    "DELETE FROM grants WHERE user_id IS NULL OR redirect_uri IS NULL "
    "OR user_id IN (SELECT id FROM users WHERE password_hash IS NULL)",
    *(
        f"DELETE FROM {table} WHERE dpop_jkt IS NOT NULL OR grant_id NOT IN (SELECT id FROM grants)"  # noqa: S608
        for table in ("authorization_codes", "refresh_tokens")
    ),
    *(
        f"DELETE FROM {table} WHERE user_id IN (SELECT id FROM users WHERE password_hash IS NULL)"  # noqa: S608
        for table in ("sessions", "devices")
    ),
    "DELETE FROM users WHERE password_hash IS NULL",
    "DELETE FROM authorization_requests "
    "WHERE signed_in_after IS NOT NULL OR subject IS NOT NULL OR dpop_jkt IS NOT NULL",
)


def upgrade() -> None:
    _create_identities()
    _create_initial_access_tokens()
    _create_used_identifiers()
    _create_pushed_requests()
    _create_device_authorizations()
    for table, columns in _NEW_COLUMNS.items():
        with op.batch_alter_table(table) as batch:
            for name, kind, comment in columns:
                batch.add_column(sa.Column(name, kind, nullable=True, comment=comment))
    for table, column, before, now in _LOOSENED:
        with op.batch_alter_table(table) as batch:
            batch.alter_column(
                column, existing_type=sa.Text(), nullable=True, comment=now, existing_comment=before
            )
    with op.batch_alter_table("clients") as batch:
        batch.alter_column(
            "document_changed_at",
            new_column_name="changed_at",
            existing_type=_INSTANT,
            comment="When its metadata last said something new to people; empty until then",
            existing_comment="When its document last said something new; empty until then",
        )
        batch.alter_column(
            "last_used_at",
            existing_type=_INSTANT,
            comment="When it was last allowed something; empty before",
            existing_comment="When a person last approved it",
        )
    op.create_index("ix_clients_fingerprint_created_at", "clients", ["fingerprint", "created_at"])
    op.create_index(
        "ix_clients_never_used",
        "clients",
        ["created_at"],
        postgresql_where=sa.text(_NEVER_USED),
        sqlite_where=sa.text(_NEVER_USED),
    )
    op.create_index("ix_authorization_requests_browser_hash", "authorization_requests", ["browser_hash"])
    with op.batch_alter_table("grants") as batch:
        batch.add_column(
            sa.Column(
                "grant_type",
                sa.Text(),
                nullable=False,
                server_default="authorization_code",
                comment="How it came about: the grant type that opened it",
            )
        )
        batch.alter_column(
            "created_at",
            existing_type=_INSTANT,
            comment="When it was approved",
            existing_comment="When the person approved",
        )


def downgrade() -> None:
    for statement in _NOT_FOR_THE_PREVIOUS_CODE:
        op.execute(statement)
    for table in (
        "device_authorizations",
        "pushed_requests",
        "used_identifiers",
        "initial_access_tokens",
        "identities",
    ):
        op.drop_table(table)
    with op.batch_alter_table("grants") as batch:
        batch.drop_column("grant_type")
        batch.alter_column(
            "created_at",
            existing_type=_INSTANT,
            comment="When the person approved",
            existing_comment="When it was approved",
        )
    op.drop_index("ix_authorization_requests_browser_hash", "authorization_requests")
    op.drop_index("ix_clients_never_used", "clients")
    op.drop_index("ix_clients_fingerprint_created_at", "clients")
    with op.batch_alter_table("clients") as batch:
        batch.alter_column(
            "changed_at",
            new_column_name="document_changed_at",
            existing_type=_INSTANT,
            comment="When its document last said something new; empty until then",
            existing_comment="When its metadata last said something new to people; empty until then",
        )
        batch.alter_column(
            "last_used_at",
            existing_type=_INSTANT,
            comment="When a person last approved it",
            existing_comment="When it was last allowed something; empty before",
        )
    for table, column, before, now in _LOOSENED:
        with op.batch_alter_table(table) as batch:
            batch.alter_column(
                column, existing_type=sa.Text(), nullable=False, comment=before, existing_comment=now
            )
    for table, columns in _NEW_COLUMNS.items():
        with op.batch_alter_table(table) as batch:
            for name, _, _ in columns:
                batch.drop_column(name)


def _create_identities() -> None:
    op.create_table(
        "identities",
        sa.Column(
            "issuer", sa.Text(), nullable=False, comment="Who vouches: an OpenID provider or enterprise"
        ),
        sa.Column("subject", sa.Text(), nullable=False, comment="The person's sub there"),
        sa.Column("user_id", sa.Text(), nullable=False, comment="Who that is here"),
        sa.Column("created_at", _INSTANT, nullable=False, comment="When it was linked"),
        sa.Column("last_used_at", _INSTANT, nullable=True, comment="When it last vouched"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_identities_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("issuer", "subject", name=op.f("pk_identities")),
        comment="Who people are at issuers that this server trusts",
    )
    op.create_index("ix_identities_user_id", "identities", ["user_id"])


def _create_initial_access_tokens() -> None:
    op.create_table(
        "initial_access_tokens",
        sa.Column("id", sa.Text(), nullable=False, comment="Identifier for operators"),
        sa.Column("token_hash", sa.Text(), nullable=False, comment="Keyed hash of the token"),
        sa.Column("label", sa.Text(), nullable=True, comment="What the operator gave it out for"),
        sa.Column(
            "uses_left",
            sa.Integer(),
            nullable=True,
            comment="How many registrations it still allows; empty for any number",
        ),
        sa.Column("created_at", _INSTANT, nullable=False, comment="When it was made"),
        sa.Column("expires_at", _INSTANT, nullable=True, comment="When it stops working; empty for never"),
        sa.Column("last_used_at", _INSTANT, nullable=True, comment="When someone last registered with it"),
        sa.Column("revoked_at", _INSTANT, nullable=True, comment="When an operator took it back"),
        sa.UniqueConstraint("token_hash", name=op.f("uq_initial_access_tokens_token_hash")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_initial_access_tokens")),
        comment="Tokens that allow registration where it is not open (RFC 7591 §3)",
    )


def _create_used_identifiers() -> None:
    op.create_table(
        "used_identifiers",
        sa.Column("kind", sa.Text(), nullable=False, comment="What it identified: dpop, assertion or id-jag"),
        sa.Column("identifier_hash", sa.Text(), nullable=False, comment="Hash of issuer or key, and jti"),
        sa.Column(
            "expires_at", _INSTANT, nullable=False, comment="When it would be refused as too old anyway"
        ),
        sa.PrimaryKeyConstraint("kind", "identifier_hash", name=op.f("pk_used_identifiers")),
        comment="What was presented once and is refused the second time, by every replica",
    )
    op.create_index("ix_used_identifiers_expires_at", "used_identifiers", ["expires_at"])


def _create_pushed_requests() -> None:
    op.create_table(
        "pushed_requests",
        sa.Column("handle_hash", sa.Text(), nullable=False, comment="Keyed hash of the request_uri"),
        sa.Column("client_id", sa.Text(), nullable=False, comment="Who pushed it"),
        sa.Column("parameters_sealed", sa.Text(), nullable=False, comment="Its parameters, encrypted"),
        sa.Column("created_at", _INSTANT, nullable=False, comment="When it was pushed"),
        sa.Column("expires_at", _INSTANT, nullable=False, comment="When it can no longer be used"),
        sa.Column("spent_at", _INSTANT, nullable=True, comment="When a browser brought it; empty before"),
        sa.Column(
            "request_id",
            sa.Text(),
            nullable=True,
            comment="Authorization request that it became; empty before",
        ),
        sa.ForeignKeyConstraint(
            ["client_id"],
            ["clients.client_id"],
            name=op.f("fk_pushed_requests_client_id_clients"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("handle_hash", name=op.f("pk_pushed_requests")),
        comment="Authorization requests that clients pushed (RFC 9126)",
    )
    op.create_index("ix_pushed_requests_client_id", "pushed_requests", ["client_id"])
    op.create_index("ix_pushed_requests_expires_at", "pushed_requests", ["expires_at"])


def _create_device_authorizations() -> None:
    op.create_table(
        "device_authorizations",
        sa.Column("device_code_hash", sa.Text(), nullable=False, comment="Keyed hash of the device code"),
        sa.Column(
            "user_code_hash", sa.Text(), nullable=False, comment="Keyed hash of the code that people type"
        ),
        sa.Column("reference", sa.Text(), nullable=False, comment="Reference that the person is shown"),
        sa.Column("client_id", sa.Text(), nullable=False, comment="Who asks"),
        sa.Column("scope", sa.Text(), nullable=False, comment="Scope that is asked for and known here"),
        sa.Column(
            "dropped_scope",
            sa.Text(),
            nullable=False,
            comment="Scope that was asked for and is not known here",
        ),
        sa.Column("resource", sa.Text(), nullable=False, comment="Resource that the tokens will be for"),
        sa.Column(
            "interval", sa.Integer(), nullable=False, comment="Seconds between two polls of the device"
        ),
        sa.Column("source", sa.Text(), nullable=True, comment="Network address of the device"),
        sa.Column("created_at", _INSTANT, nullable=False, comment="When it was asked"),
        sa.Column("expires_at", _INSTANT, nullable=False, comment="When it can no longer be answered"),
        sa.Column("polled_at", _INSTANT, nullable=True, comment="When the device last asked for its tokens"),
        sa.Column(
            "decided_at", _INSTANT, nullable=True, comment="When the person answered; empty while it waits"
        ),
        sa.Column("decision", sa.Text(), nullable=True, comment="approve or deny"),
        sa.Column("grant_id", sa.Text(), nullable=True, comment="What the person approved"),
        sa.Column(
            "spent_at", _INSTANT, nullable=True, comment="When the device fetched its tokens; empty before"
        ),
        sa.ForeignKeyConstraint(
            ["client_id"],
            ["clients.client_id"],
            name=op.f("fk_device_authorizations_client_id_clients"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["grant_id"],
            ["grants.id"],
            name=op.f("fk_device_authorizations_grant_id_grants"),
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint("user_code_hash", name=op.f("uq_device_authorizations_user_code_hash")),
        sa.PrimaryKeyConstraint("device_code_hash", name=op.f("pk_device_authorizations")),
        comment="Devices that wait for someone to type their code (RFC 8628)",
    )
    op.create_index("ix_device_authorizations_client_id", "device_authorizations", ["client_id"])
    op.create_index("ix_device_authorizations_expires_at", "device_authorizations", ["expires_at"])
    op.create_index("ix_device_authorizations_grant_id", "device_authorizations", ["grant_id"])
