"""First schema.

Revision: 0001
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_INSTANT = sa.DateTime(timezone=True)
_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _create_audit_events()
    _create_clients()
    _create_revocations()
    _create_signing_keys()
    _create_users()
    _create_authorization_requests()
    _create_devices()
    _create_grants()
    _create_sessions()
    _create_authorization_codes()
    _create_refresh_tokens()


def downgrade() -> None:
    for table in (
        "refresh_tokens",
        "authorization_codes",
        "sessions",
        "grants",
        "devices",
        "authorization_requests",
        "users",
        "signing_keys",
        "revocations",
        "clients",
        "audit_events",
    ):
        op.drop_table(table)


def _create_audit_events() -> None:
    op.create_table(
        "audit_events",
        sa.Column("id", _SERIAL, nullable=False, comment="Running number"),
        sa.Column("at", _INSTANT, nullable=False, comment="When it happened"),
        sa.Column("event", sa.Text(), nullable=False, comment="What happened, for example client.registered"),
        sa.Column("outcome", sa.Text(), nullable=False, comment="ok, or the error code of the refusal"),
        sa.Column(
            "reason", sa.Text(), nullable=True, comment="Why it was refused, finer than the answer tells"
        ),
        sa.Column(
            "user_id", sa.Text(), nullable=True, comment="The person concerned; kept when the user is deleted"
        ),
        sa.Column(
            "client_id",
            sa.Text(),
            nullable=True,
            comment="The client concerned; kept when the client is deleted",
        ),
        sa.Column("grant_id", sa.Text(), nullable=True, comment="The grant concerned"),
        sa.Column(
            "source", sa.Text(), nullable=True, comment="Network address that the request came from, or cli"
        ),
        sa.Column("reference", sa.Text(), nullable=True, comment="The reference that the person was shown"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_events")),
        comment="Append-only record of what happened and what was refused",
    )
    op.create_index("ix_audit_events_at", "audit_events", ["at"])
    op.create_index("ix_audit_events_client_id_at", "audit_events", ["client_id", "at"])
    op.create_index("ix_audit_events_reference", "audit_events", ["reference"])


def _create_clients() -> None:
    op.create_table(
        "clients",
        sa.Column("client_id", sa.Text(), nullable=False, comment="Identifier on the wire"),
        sa.Column(
            "client_name",
            sa.Text(),
            nullable=True,
            comment="Name that the app gave itself; anyone can take any name",
        ),
        sa.Column("redirect_uris", _JSON, nullable=False, comment="Where answers may go, compared exactly"),
        sa.Column("grant_types", _JSON, nullable=False, comment="Grant types that the client may use"),
        sa.Column("response_types", _JSON, nullable=False, comment="Response types that the client may use"),
        sa.Column(
            "token_endpoint_auth_method",
            sa.Text(),
            nullable=False,
            comment="none for public clients, else how the secret is sent",
        ),
        sa.Column(
            "scope",
            sa.Text(),
            nullable=True,
            comment="Scope named at registration, narrowed to what this server knows",
        ),
        sa.Column(
            "information", _JSON, nullable=False, comment="Further registered metadata, for people to read"
        ),
        sa.Column("secret_hash", sa.Text(), nullable=True, comment="Keyed hash of the client secret"),
        sa.Column(
            "secret_expires_at",
            _INSTANT,
            nullable=True,
            comment="When the secret stops working; empty for never",
        ),
        sa.Column(
            "registration",
            sa.Text(),
            nullable=False,
            comment="How the client came here: dynamic, document or manual",
        ),
        sa.Column("registered_from", sa.Text(), nullable=True, comment="Network address of the registration"),
        sa.Column("created_at", _INSTANT, nullable=False, comment="When it was registered"),
        sa.Column("last_used_at", _INSTANT, nullable=True, comment="When a person last approved it"),
        sa.Column(
            "disabled_at",
            _INSTANT,
            nullable=True,
            comment="When an operator disabled it; empty while it works",
        ),
        *_document_columns(),
        sa.PrimaryKeyConstraint("client_id", name=op.f("pk_clients")),
        comment="Registered clients (RFC 7591)",
    )
    op.create_index("ix_clients_created_at", "clients", ["created_at"])


def _document_columns() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column(
            "document_fetched_at",
            _INSTANT,
            nullable=True,
            comment="When its metadata document was last read; empty without a document",
        ),
        sa.Column(
            "document_fresh_until",
            _INSTANT,
            nullable=True,
            comment="Until when its document is used without reading it again",
        ),
        sa.Column(
            "document_changed_at",
            _INSTANT,
            nullable=True,
            comment="When its document last said something new; empty until then",
        ),
        sa.Column(
            "document_withdrawn_at",
            _INSTANT,
            nullable=True,
            comment="When its document was found to be gone; empty while it is there",
        ),
    )


def _create_revocations() -> None:
    op.create_table(
        "revocations",
        sa.Column("id", _SERIAL, nullable=False, comment="Running number"),
        sa.Column("kind", sa.Text(), nullable=False, comment="grant or token"),
        sa.Column("subject", sa.Text(), nullable=False, comment="Grant id, or jti of one access token"),
        sa.Column("revoked_at", _INSTANT, nullable=False, comment="When it was revoked"),
        sa.Column("keep_until", _INSTANT, nullable=False, comment="When no access token can be left"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_revocations")),
        sa.UniqueConstraint("subject", name=op.f("uq_revocations_subject")),
        comment="What every process must refuse although its signature and expiry are good",
    )
    op.create_index("ix_revocations_keep_until", "revocations", ["keep_until"])


def _create_signing_keys() -> None:
    op.create_table(
        "signing_keys",
        sa.Column("kid", sa.Text(), nullable=False, comment="Key id: the RFC 7638 thumbprint"),
        sa.Column("algorithm", sa.Text(), nullable=False, comment="JWS algorithm"),
        sa.Column("public_jwk", _JSON, nullable=False, comment="Public key, published at the JWK set"),
        sa.Column(
            "private_jwk_sealed", sa.Text(), nullable=False, comment="Private key, encrypted under SECRET_KEY"
        ),
        sa.Column("created_at", _INSTANT, nullable=False, comment="When it was made"),
        sa.Column(
            "retired_at",
            _INSTANT,
            nullable=True,
            comment="When it stopped signing; it still verifies a while",
        ),
        sa.PrimaryKeyConstraint("kid", name=op.f("pk_signing_keys")),
        comment="Keys that sign access tokens",
    )


def _create_users() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Text(), nullable=False, comment="Stable identifier; the sub of access tokens"),
        sa.Column("username", sa.Text(), nullable=False, comment="Name to sign in with, in lower case"),
        sa.Column("name", sa.Text(), nullable=False, comment="Name to show"),
        sa.Column("email", sa.Text(), nullable=True, comment="E-mail address, if known"),
        sa.Column(
            "password_hash", sa.Text(), nullable=False, comment="argon2id hash with its salt and parameters"
        ),
        sa.Column(
            "is_admin", sa.Boolean(), nullable=False, comment="Whether this person operates the server"
        ),
        sa.Column("created_at", _INSTANT, nullable=False, comment="When the account was made"),
        sa.Column("password_changed_at", _INSTANT, nullable=False, comment="When the password was last set"),
        sa.Column("last_sign_in_at", _INSTANT, nullable=True, comment="When this person last signed in"),
        sa.Column(
            "disabled_at",
            _INSTANT,
            nullable=True,
            comment="When the account was disabled; empty while it works",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("username", name=op.f("uq_users_username")),
        comment="People who may sign in",
    )


def _create_authorization_requests() -> None:
    op.create_table(
        "authorization_requests",
        sa.Column("id", sa.Text(), nullable=False, comment="Handle in the address of the consent page"),
        sa.Column("reference", sa.Text(), nullable=False, comment="Reference that the person is shown"),
        sa.Column(
            "browser_hash",
            sa.Text(),
            nullable=False,
            comment="Keyed hash of the browser cookie it belongs to",
        ),
        sa.Column("client_id", sa.Text(), nullable=False, comment="Who asks"),
        sa.Column("redirect_uri", sa.Text(), nullable=False, comment="Where the answer goes"),
        sa.Column("scope", sa.Text(), nullable=False, comment="Scope that is asked for and known here"),
        sa.Column(
            "dropped_scope",
            sa.Text(),
            nullable=False,
            comment="Scope that was asked for and is not known here",
        ),
        sa.Column(
            "resource", sa.Text(), nullable=False, comment="Resource that the tokens will be for (RFC 8707)"
        ),
        sa.Column("state", sa.Text(), nullable=True, comment="The client's state, echoed exactly"),
        sa.Column("code_challenge", sa.Text(), nullable=False, comment="PKCE challenge, S256 (RFC 7636)"),
        sa.Column("created_at", _INSTANT, nullable=False, comment="When it was asked"),
        sa.Column("expires_at", _INSTANT, nullable=False, comment="When it can no longer be answered"),
        sa.Column(
            "decided_at", _INSTANT, nullable=True, comment="When the person answered; empty while it waits"
        ),
        sa.Column("decision", sa.Text(), nullable=True, comment="approve or deny"),
        sa.ForeignKeyConstraint(
            ["client_id"],
            ["clients.client_id"],
            name=op.f("fk_authorization_requests_client_id_clients"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_authorization_requests")),
        comment="Authorization requests that wait for sign-in and consent",
    )
    op.create_index("ix_authorization_requests_client_id", "authorization_requests", ["client_id"])
    op.create_index("ix_authorization_requests_expires_at", "authorization_requests", ["expires_at"])


def _create_devices() -> None:
    op.create_table(
        "devices",
        sa.Column("user_id", sa.Text(), nullable=False, comment="Who signed in"),
        sa.Column("browser_hash", sa.Text(), nullable=False, comment="Keyed hash of the browser cookie"),
        sa.Column("last_sign_in_at", _INSTANT, nullable=False, comment="Last sign-in of this person with it"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_devices_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "browser_hash", name=op.f("pk_devices")),
        comment="Browsers that someone signed in with before; they may try again while a stranger guesses",
    )


def _create_grants() -> None:
    op.create_table(
        "grants",
        sa.Column("id", sa.Text(), nullable=False, comment="Identifier; all codes and tokens hang on it"),
        sa.Column("user_id", sa.Text(), nullable=False, comment="Who allowed it"),
        sa.Column("client_id", sa.Text(), nullable=False, comment="Who was allowed"),
        sa.Column("resource", sa.Text(), nullable=False, comment="Audience of its access tokens"),
        sa.Column("scope", sa.Text(), nullable=False, comment="What was allowed"),
        sa.Column("redirect_uri", sa.Text(), nullable=False, comment="Where the code was sent"),
        sa.Column("reference", sa.Text(), nullable=False, comment="Reference that the person was shown"),
        sa.Column("created_at", _INSTANT, nullable=False, comment="When the person approved"),
        sa.Column("expires_at", _INSTANT, nullable=False, comment="When it ends however much it is used"),
        sa.Column(
            "last_issued_at",
            _INSTANT,
            nullable=True,
            comment="When its latest access token was issued; empty before the first",
        ),
        sa.Column("revoked_at", _INSTANT, nullable=True, comment="When it was revoked; empty while it works"),
        sa.Column("revoked_because", sa.Text(), nullable=True, comment="Who or what revoked it"),
        sa.ForeignKeyConstraint(
            ["client_id"], ["clients.client_id"], name=op.f("fk_grants_client_id_clients"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_grants_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_grants")),
        comment="What a person allowed a client for a resource",
    )
    op.create_index("ix_grants_client_id", "grants", ["client_id"])
    op.create_index("ix_grants_expires_at", "grants", ["expires_at"])
    op.create_index("ix_grants_user_id", "grants", ["user_id"])


def _create_sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("id_hash", sa.Text(), nullable=False, comment="Keyed hash of the session cookie"),
        sa.Column("user_id", sa.Text(), nullable=False, comment="Who signed in"),
        sa.Column("created_at", _INSTANT, nullable=False, comment="When this person signed in"),
        sa.Column("last_seen_at", _INSTANT, nullable=False, comment="Last use, exact to a minute"),
        sa.Column("expires_at", _INSTANT, nullable=False, comment="When it ends however much it is used"),
        sa.Column("source", sa.Text(), nullable=True, comment="Network address of the sign-in"),
        sa.Column(
            "user_agent", sa.Text(), nullable=True, comment="Browser of the sign-in, as it names itself"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_sessions_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id_hash", name=op.f("pk_sessions")),
        comment="Browsers that are signed in",
    )
    op.create_index("ix_sessions_expires_at", "sessions", ["expires_at"])
    op.create_index("ix_sessions_user_id", "sessions", ["user_id"])


def _create_authorization_codes() -> None:
    op.create_table(
        "authorization_codes",
        sa.Column("code_hash", sa.Text(), nullable=False, comment="Keyed hash of the code"),
        sa.Column("grant_id", sa.Text(), nullable=False, comment="The grant that it opens"),
        sa.Column("code_challenge", sa.Text(), nullable=False, comment="PKCE challenge, S256"),
        sa.Column("created_at", _INSTANT, nullable=False, comment="When it was issued"),
        sa.Column("expires_at", _INSTANT, nullable=False, comment="When it stops working"),
        sa.Column("spent_at", _INSTANT, nullable=True, comment="When it was redeemed; empty before"),
        sa.ForeignKeyConstraint(
            ["grant_id"],
            ["grants.id"],
            name=op.f("fk_authorization_codes_grant_id_grants"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("code_hash", name=op.f("pk_authorization_codes")),
        comment="Authorization codes, each good for one redemption",
    )
    op.create_index("ix_authorization_codes_expires_at", "authorization_codes", ["expires_at"])
    op.create_index("ix_authorization_codes_grant_id", "authorization_codes", ["grant_id"])


def _create_refresh_tokens() -> None:
    op.create_table(
        "refresh_tokens",
        sa.Column("token_hash", sa.Text(), nullable=False, comment="Keyed hash of the refresh token"),
        sa.Column("grant_id", sa.Text(), nullable=False, comment="The grant that it belongs to"),
        sa.Column(
            "generation",
            sa.Integer(),
            nullable=False,
            comment="0 for the first of its family, one more each rotation",
        ),
        sa.Column("created_at", _INSTANT, nullable=False, comment="When it was issued"),
        sa.Column("expires_at", _INSTANT, nullable=False, comment="When it stops working if not used"),
        sa.Column(
            "spent_at",
            _INSTANT,
            nullable=True,
            comment="When it was exchanged for its successor; empty before",
        ),
        sa.ForeignKeyConstraint(
            ["grant_id"], ["grants.id"], name=op.f("fk_refresh_tokens_grant_id_grants"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_refresh_tokens")),
        comment="Refresh tokens, each exchanged once",
    )
    op.create_index("ix_refresh_tokens_expires_at", "refresh_tokens", ["expires_at"])
    op.create_index("ix_refresh_tokens_grant_id", "refresh_tokens", ["grant_id"])
