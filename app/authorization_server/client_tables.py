"""The table of clients, and how it is read."""

import sqlalchemy as sa

from app.database import UTCDateTime, json_type, metadata

clients = sa.Table(
    "clients",
    metadata,
    sa.Column("client_id", sa.Text, primary_key=True, comment="Identifier on the wire"),
    sa.Column("client_name", sa.Text, comment="Name that the app gave itself; anyone can take any name"),
    sa.Column("redirect_uris", json_type, nullable=False, comment="Where answers may go, compared exactly"),
    sa.Column("grant_types", json_type, nullable=False, comment="Grant types that the client may use"),
    sa.Column("response_types", json_type, nullable=False, comment="Response types that the client may use"),
    sa.Column(
        "token_endpoint_auth_method",
        sa.Text,
        nullable=False,
        comment="none for public clients, else how the secret is sent",
    ),
    sa.Column("scope", sa.Text, comment="Scope named at registration, narrowed to what this server knows"),
    sa.Column(
        "information", json_type, nullable=False, comment="Further registered metadata, for people to read"
    ),
    sa.Column("secret_hash", sa.Text, comment="Keyed hash of the client secret"),
    sa.Column("secret_expires_at", UTCDateTime, comment="When the secret stops working; empty for never"),
    sa.Column(
        "registration",
        sa.Text,
        nullable=False,
        comment="How the client came here: dynamic, document or manual",
    ),
    sa.Column("registered_from", sa.Text, comment="Network address of the registration"),
    sa.Column("created_at", UTCDateTime, nullable=False, index=True, comment="When it was registered"),
    sa.Column("registered_with", sa.Text, comment="Initial access token of its registration; empty without"),
    sa.Column("last_used_at", UTCDateTime, comment="When it was last allowed something; empty before"),
    sa.Column("disabled_at", UTCDateTime, comment="When an operator disabled it; empty while it works"),
    sa.Column(
        "document_fetched_at",
        UTCDateTime,
        comment="When its metadata document was last read; empty without a document",
    ),
    sa.Column(
        "document_fresh_until",
        UTCDateTime,
        comment="Until when its document is used without reading it again",
    ),
    sa.Column(
        "changed_at",
        UTCDateTime,
        comment="When its metadata last said something new to people; empty until then",
    ),
    sa.Column(
        "document_withdrawn_at",
        UTCDateTime,
        comment="When its document was found to be gone; empty while it is there",
    ),
    sa.Column("jwks", json_type, comment="Public keys that it registered itself (RFC 7517 §5)"),
    sa.Column("jwks_uri", sa.Text, comment="Address at which it publishes its keys"),
    sa.Column(
        "token_endpoint_auth_signing_alg", sa.Text, comment="JWS algorithm of its assertions; empty for any"
    ),
    sa.Column(
        "registration_token_hash",
        sa.Text,
        comment="Keyed hash of its registration access token (RFC 7592); empty where it has none",
    ),
    sa.Column(
        "introspects",
        json_type,
        comment="Resources whose access tokens it may look at, as the operator said; empty for none",
    ),
    sa.Column(
        "fingerprint",
        sa.Text,
        comment="Hash of what it registered, the same for registrations that say the same; of others their id",
    ),
    sa.Column(
        "approved_at", UTCDateTime, comment="When an operator said that people may trust it; empty until then"
    ),
    sa.Column("search_text", sa.Text, comment="Name, id and hosts in lower case: what operators search"),
    sa.Column("sort_name", sa.Text, comment="Beginning of the name in lower case: what operators sort by"),
    comment="Registered clients (RFC 7591)",
)
# What the operator's list is walked along: by time, by use, by name, and within those that say the same.
_USED, _DISABLED, _APPROVED = (
    clients.c.last_used_at.is_not(None),
    clients.c.disabled_at.is_not(None),
    clients.c.approved_at.is_not(None),
)
sa.Index("ix_clients_alike_registered", clients.c.fingerprint, clients.c.created_at, clients.c.client_id)
sa.Index(
    "ix_clients_alike_used",
    clients.c.fingerprint,
    clients.c.last_used_at,
    postgresql_where=_USED,
    sqlite_where=_USED,
)
sa.Index("ix_clients_registered", clients.c.created_at, clients.c.client_id)
sa.Index("ix_clients_came", clients.c.registration, clients.c.created_at, clients.c.client_id)
sa.Index("ix_clients_name", clients.c.sort_name, clients.c.fingerprint)
for _name, _which, _by in (
    ("used", _USED, clients.c.last_used_at),
    ("disabled", _DISABLED, clients.c.created_at),
    ("approved", _APPROVED, clients.c.created_at),
):
    sa.Index(f"ix_clients_{_name}", _by, clients.c.client_id, postgresql_where=_which, sqlite_where=_which)
# Clients that registered themselves and were never allowed anything: few, and the only ones that ever go by themselves.
# Literals, not parameters: only so does a database see that its partial index serves.
NEVER_USED = sa.and_(
    clients.c.registration == sa.literal_column("'dynamic'"),
    clients.c.registered_with.is_(None),
    clients.c.last_used_at.is_(None),
)
sa.Index("ix_clients_never_used", clients.c.created_at, postgresql_where=NEVER_USED, sqlite_where=NEVER_USED)
