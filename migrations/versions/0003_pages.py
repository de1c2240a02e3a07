"""Pages: passkeys, second factors, links, other providers; uses of grants, approved clients, charts.

Revision: 0003, after 0002
"""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_INSTANT = sa.DateTime(timezone=True)
_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_BROWSER = "Keyed hash of the cookie of the browser it belongs to"
_MADE = "When it was made"
_ENDS = "When it can no longer be used"

# Name, type, whether it may be empty, comment. The first column is the primary key.
Column = tuple[str, Any, bool, str]
# For each table its columns, what its user_id says (None: it is the key itself), and its comment.
_NEW_TABLES: Mapping[str, tuple[Sequence[Column], tuple[bool, str] | None, str]] = {
    "passkeys": (
        (
            ("credential_id", sa.Text(), False, "Credential id of WebAuthn, in base64url"),
            ("public_key", sa.Text(), False, "Public key (COSE), in base64url"),
            (
                "sign_count",
                sa.BigInteger(),
                False,
                "Signature counter at its last use; 0 where the authenticator counts none",
            ),
            ("name", sa.Text(), False, "What its owner calls it"),
            ("transports", _JSON, False, "How a browser may reach it"),
            ("aaguid", sa.Text(), False, "Model of the authenticator, as it says"),
            ("is_backed_up", sa.Boolean(), False, "Whether it is synchronised to other devices"),
            ("created_at", _INSTANT, False, _MADE),
            ("last_used_at", _INSTANT, True, "When someone last signed in with it"),
        ),
        (False, "Whose it is"),
        "Passkeys: WebAuthn credentials of people",
    ),
    "passkey_challenges": (
        (
            ("challenge_hash", sa.Text(), False, "Keyed hash of the challenge"),
            ("purpose", sa.Text(), False, "register, sign_in or second_factor"),
            ("browser_hash", sa.Text(), False, _BROWSER),
            ("created_at", _INSTANT, False, "When it was answered"),
            ("expires_at", _INSTANT, False, _ENDS),
        ),
        (True, "Who is meant; empty where the passkey tells"),
        "Challenges that browsers answered with a passkey: each is good once",
    ),
    "authenticators": (
        (
            ("user_id", sa.Text(), False, "Whose it is"),
            (
                "secret_sealed",
                sa.Text(),
                False,
                "Secret of the one-time codes, encrypted under SECRET_KEY",
            ),
            ("created_at", _INSTANT, False, _MADE),
            (
                "last_step",
                sa.BigInteger(),
                False,
                "Time step of the last code that was taken: each code works once",
            ),
            ("last_used_at", _INSTANT, True, "When a code was last taken"),
        ),
        None,
        "Apps that show one-time codes (RFC 6238)",
    ),
    "recovery_codes": (
        (
            ("code_hash", sa.Text(), False, "Keyed hash of the code"),
            ("created_at", _INSTANT, False, _MADE),
            ("used_at", _INSTANT, True, "When it was used; empty before"),
        ),
        (False, "Whose it is"),
        "Codes that each sign in once where a second factor is lost",
    ),
    "pending_sign_ins": (
        (
            ("id_hash", sa.Text(), False, "Keyed hash of its id"),
            ("browser_hash", sa.Text(), False, _BROWSER),
            (
                "methods",
                sa.Text(),
                False,
                "What was shown already (RFC 8176), separated by blanks",
            ),
            ("onward", sa.Text(), False, "What comes after it, as the query of the sign-in page"),
            ("tries", sa.Integer(), False, "Wrong second factors so far"),
            ("created_at", _INSTANT, False, _MADE),
            ("expires_at", _INSTANT, False, _ENDS),
        ),
        (False, "Whose first factor was right"),
        "Sign-ins that wait for a second factor",
    ),
    "upstream_sign_ins": (
        (
            ("state_hash", sa.Text(), False, "Keyed hash of the state"),
            ("browser_hash", sa.Text(), False, _BROWSER),
            ("provider", sa.Text(), False, "Name of the provider in the settings"),
            ("nonce", sa.Text(), False, "What its ID token must repeat"),
            ("verifier_sealed", sa.Text(), False, "PKCE verifier, encrypted under SECRET_KEY"),
            ("onward", sa.Text(), False, "What comes after it, as the query of the sign-in page"),
            ("created_at", _INSTANT, False, _MADE),
            ("expires_at", _INSTANT, False, _ENDS),
        ),
        (True, "Who links an identity; empty at a sign-in"),
        "Browsers that are at another provider and are expected back",
    ),
    "account_links": (
        (
            ("token_hash", sa.Text(), False, "Keyed hash of the token in the link"),
            ("purpose", sa.Text(), False, "invitation, password_reset or email"),
            ("email", sa.Text(), True, "Address that it was sent to, or that it proves"),
            (
                "created_by",
                sa.Text(),
                True,
                "Who made it: user id of an operator, or cli; empty for the person",
            ),
            ("created_at", _INSTANT, False, _MADE),
            ("expires_at", _INSTANT, False, _ENDS),
            ("used_at", _INSTANT, True, "When it was used; empty before"),
        ),
        (False, "Who it is for"),
        "Links by which people set a password or prove an address, each good once",
    ),
}
# Table, name, type, comment, default at the server for those that are never empty.
_NEW_COLUMNS: Sequence[tuple[str, str, Any, str, Any]] = (
    (
        "audit_events",
        "actor_id",
        sa.Text(),
        "Who did it, where that is someone else: user id of an operator",
        None,
    ),
    (
        "clients",
        "approved_at",
        _INSTANT,
        "When an operator said that people may trust it; empty until then",
        None,
    ),
    ("clients", "search_text", sa.Text(), "Name, id and hosts in lower case: what operators search", None),
    (
        "clients",
        "sort_name",
        sa.Text(),
        "Beginning of the name in lower case: what operators sort by",
        None,
    ),
    ("grants", "first_used_at", _INSTANT, "When a token of it first called the resource here", None),
    ("grants", "last_used_at", _INSTANT, "When one last did, exact to a minute", None),
    ("grants", "last_used_from", sa.Text(), "Network address of that call", None),
    (
        "grants",
        "authentication_methods",
        sa.Text(),
        "How they had shown who they are (amr, RFC 8176), separated by blanks",
        None,
    ),
    (
        "grants",
        "edition",
        sa.Integer(),
        "How often the person took a part of it back; access tokens of an earlier edition are dead",
        "0",
    ),
    ("grants", "taken_back", sa.Text(), "The scopes that the person took back", None),
    (
        "sessions",
        "methods",
        sa.Text(),
        "How the person showed who they are (RFC 8176), separated by blanks",
        "pwd",
    ),
    ("signing_keys", "signs_from", _INSTANT, "When it begins to sign; empty for since it was made", None),
    (
        "signing_keys",
        "accepted_until",
        _INSTANT,
        "Until when what it signed is accepted; empty for as long as it signs",
        None,
    ),
    (
        "users",
        "email_verified_at",
        _INSTANT,
        "When the person showed that the address is theirs",
        None,
    ),
    (
        "users",
        "is_auditor",
        sa.Boolean(),
        "Whether this person may look at the operator's pages and change nothing",
        sa.false(),
    ),
)
_NEW_INDEXES = (("user_id_at", ["user_id", "at"]), ("grant_id", ["grant_id"]))
# What the lists of the operator's pages are walked along: name, table, columns, and which rows.
_LISTS = (
    ("ix_clients_alike_registered", "clients", ["fingerprint", "created_at", "client_id"], None),
    ("ix_clients_alike_used", "clients", ["fingerprint", "last_used_at"], "last_used_at IS NOT NULL"),
    ("ix_clients_registered", "clients", ["created_at", "client_id"], None),
    ("ix_clients_came", "clients", ["registration", "created_at", "client_id"], None),
    ("ix_clients_name", "clients", ["sort_name", "fingerprint"], None),
    ("ix_clients_used", "clients", ["last_used_at", "client_id"], "last_used_at IS NOT NULL"),
    ("ix_clients_disabled", "clients", ["created_at", "client_id"], "disabled_at IS NOT NULL"),
    ("ix_clients_approved", "clients", ["created_at", "client_id"], "approved_at IS NOT NULL"),
    ("ix_grants_not_revoked", "grants", ["client_id", "expires_at"], "revoked_at IS NULL"),
    ("ix_grants_created_at", "grants", ["created_at", "id"], None),
)


def upgrade() -> None:
    for name, (columns, user, comment) in _NEW_TABLES.items():
        _create(name, columns, user, comment)
    op.create_table(
        "tallies",
        sa.Column("hour", _INSTANT, nullable=False, comment="Beginning of the hour"),
        sa.Column(
            "kind",
            sa.Text(),
            nullable=False,
            comment="What is counted: call, refusal, token or registration",
        ),
        sa.Column(
            "label",
            sa.Text(),
            nullable=False,
            comment="Which: a resource, an endpoint with a reason, a grant type",
        ),
        sa.Column("count", sa.BigInteger(), nullable=False, comment="How often"),
        sa.PrimaryKeyConstraint("hour", "kind", "label", name=op.f("pk_tallies")),
        comment="Counts by the hour, for the charts of the operator's pages",
    )
    for table, name, kind, comment, default in _NEW_COLUMNS:
        column = sa.Column(name, kind, nullable=default is None, server_default=default, comment=comment)
        op.add_column(table, column)
    for name, indexed in _NEW_INDEXES:
        op.create_index(f"ix_audit_events_{name}", "audit_events", indexed)
    _index_lists()


def downgrade() -> None:
    for name, table, *_ in _LISTS:
        op.drop_index(name, table)
    op.create_index("ix_clients_fingerprint_created_at", "clients", ["fingerprint", "created_at"])
    op.execute("UPDATE clients SET fingerprint = NULL WHERE fingerprint = client_id")
    for name, _ in _NEW_INDEXES:
        op.drop_index(f"ix_audit_events_{name}", "audit_events")
    for table, name, *_ in reversed(_NEW_COLUMNS):
        op.drop_column(table, name)
    for name in ("tallies", *_NEW_TABLES):
        op.drop_table(name)


def _create(table: str, columns: Sequence[Column], user: tuple[bool, str] | None, comment: str) -> None:
    rest = []
    if user is not None:
        may_be_empty, whose = user
        rest.append(sa.Column("user_id", sa.Text(), nullable=may_be_empty, comment=whose))
    op.create_table(
        table,
        *(sa.Column(name, kind, nullable=empty, comment=what) for name, kind, empty, what in columns),
        *rest,
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f(f"fk_{table}_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint(columns[0][0], name=op.f(f"pk_{table}")),
        comment=comment,
    )
    if user is not None:
        op.create_index(f"ix_{table}_user_id", table, ["user_id"])
    if any(name == "expires_at" for name, *_ in columns):
        op.create_index(f"ix_{table}_expires_at", table, ["expires_at"])


def _index_lists() -> None:
    # Only whoever registers itself says the same as others; everyone else is alike to nobody.
    op.execute("UPDATE clients SET fingerprint = client_id WHERE fingerprint IS NULL")
    # Roughly what the application makes of them when they next change.
    op.execute(
        "UPDATE clients SET search_text = lower(coalesce(client_name, client_id)) || ' ' || client_id || ' '"
        " || lower(CAST(redirect_uris AS TEXT))"
    )
    op.execute("UPDATE clients SET sort_name = lower(substr(coalesce(client_name, client_id), 1, 80))")
    op.drop_index("ix_clients_fingerprint_created_at", "clients")
    for name, table, columns, which in _LISTS:
        where = sa.text(which) if which else None
        op.create_index(name, table, columns, postgresql_where=where, sqlite_where=where)
