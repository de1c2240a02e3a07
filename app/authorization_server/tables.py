"""Tables of the authorization server."""

import sqlalchemy as sa

from app.authorization_server.client_tables import NEVER_USED as NEVER_USED
from app.authorization_server.client_tables import clients as clients
from app.database import UTCDateTime, json_type, metadata

_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

authorization_requests = sa.Table(
    "authorization_requests",
    metadata,
    sa.Column("id", sa.Text, primary_key=True, comment="Handle in the address of the consent page"),
    sa.Column("reference", sa.Text, nullable=False, comment="Reference that the person is shown"),
    sa.Column(
        "browser_hash",
        sa.Text,
        nullable=False,
        index=True,
        comment="Keyed hash of the browser cookie it belongs to",
    ),
    sa.Column(
        "client_id",
        sa.Text,
        sa.ForeignKey("clients.client_id", ondelete="CASCADE"),
        nullable=False,
        index=True,
        comment="Who asks",
    ),
    sa.Column("redirect_uri", sa.Text, nullable=False, comment="Where the answer goes"),
    sa.Column("scope", sa.Text, nullable=False, comment="Scope that is asked for and known here"),
    sa.Column(
        "dropped_scope", sa.Text, nullable=False, comment="Scope that was asked for and is not known here"
    ),
    sa.Column("resource", sa.Text, nullable=False, comment="Resource that the tokens will be for (RFC 8707)"),
    sa.Column("state", sa.Text, comment="The client's state, echoed exactly"),
    sa.Column("code_challenge", sa.Text, nullable=False, comment="PKCE challenge, S256 (RFC 7636)"),
    sa.Column("nonce", sa.Text, comment="The client's nonce, repeated in the ID token"),
    sa.Column("dpop_jkt", sa.Text, comment="Thumbprint of the key that the code is bound to (RFC 9449 §10)"),
    sa.Column(
        "signed_in_after",
        UTCDateTime,
        comment="The person must have signed in at this instant or later (prompt, max_age); empty for any time",
    ),
    sa.Column(
        "subject",
        sa.Text,
        comment="The one person who may answer, by the client's ID token (id_token_hint); empty for anyone",
    ),
    sa.Column("login_hint", sa.Text, comment="The name that the client would fill in at sign-in"),
    sa.Column("created_at", UTCDateTime, nullable=False, comment="When it was asked"),
    sa.Column(
        "expires_at", UTCDateTime, nullable=False, index=True, comment="When it can no longer be answered"
    ),
    sa.Column("decided_at", UTCDateTime, comment="When the person answered; empty while it waits"),
    sa.Column("decision", sa.Text, comment="approve or deny"),
    comment="Authorization requests that wait for sign-in and consent",
)

grants = sa.Table(
    "grants",
    metadata,
    sa.Column("id", sa.Text, primary_key=True, comment="Identifier; all codes and tokens hang on it"),
    sa.Column(
        "user_id",
        sa.Text,
        sa.ForeignKey("users.id", ondelete="CASCADE"),
        index=True,
        comment="Who allowed it; empty for a client that acts for itself",
    ),
    sa.Column(
        "grant_type",
        sa.Text,
        nullable=False,
        server_default="authorization_code",
        comment="How it came about: the grant type that opened it",
    ),
    sa.Column(
        "client_id",
        sa.Text,
        sa.ForeignKey("clients.client_id", ondelete="CASCADE"),
        nullable=False,
        index=True,
        comment="Who was allowed",
    ),
    sa.Column("resource", sa.Text, nullable=False, comment="Audience of its access tokens"),
    sa.Column("scope", sa.Text, nullable=False, comment="What was allowed"),
    sa.Column("redirect_uri", sa.Text, comment="Where the code was sent; empty where none was"),
    sa.Column("reference", sa.Text, nullable=False, comment="Reference that the person was shown"),
    sa.Column(
        "authenticated_at", UTCDateTime, comment="When the person had signed in who approved (auth_time)"
    ),
    sa.Column(
        "authentication_methods",
        sa.Text,
        comment="How they had shown who they are (amr, RFC 8176), separated by blanks",
    ),
    sa.Column(
        "props_sealed", sa.Text, comment="What the operator's hooks attached, encrypted under SECRET_KEY"
    ),
    sa.Column(
        "client_snapshot",
        sa.Text,
        comment="How the client authenticated when it was approved, and a hash of what it said about itself",
    ),
    sa.Column("created_at", UTCDateTime, nullable=False, comment="When it was approved"),
    sa.Column(
        "expires_at", UTCDateTime, nullable=False, index=True, comment="When it ends however much it is used"
    ),
    sa.Column(
        "last_issued_at",
        UTCDateTime,
        comment="When its latest access token was issued; empty before the first",
    ),
    sa.Column("revoked_at", UTCDateTime, comment="When it was revoked; empty while it works"),
    sa.Column("revoked_because", sa.Text, comment="Who or what revoked it"),
    sa.Column("first_used_at", UTCDateTime, comment="When a token of it first called the resource here"),
    sa.Column("last_used_at", UTCDateTime, comment="When one last did, exact to a minute"),
    sa.Column("last_used_from", sa.Text, comment="Network address of that call"),
    sa.Column(
        "edition",
        sa.Integer,
        nullable=False,
        server_default="0",
        comment="How often the person took a part of it back; access tokens of an earlier edition are dead",
    ),
    sa.Column("taken_back", sa.Text, comment="The scopes that the person took back"),
    comment="What a person allowed a client for a resource",
)
# By expiry those that may still hold, and the newest of all: what the operator's lists are read from.
_NOT_REVOKED = grants.c.revoked_at.is_(None)
sa.Index(
    "ix_grants_not_revoked",
    grants.c.client_id,
    grants.c.expires_at,
    postgresql_where=_NOT_REVOKED,
    sqlite_where=_NOT_REVOKED,
)
sa.Index("ix_grants_created_at", grants.c.created_at, grants.c.id)


authorization_codes = sa.Table(
    "authorization_codes",
    metadata,
    sa.Column("code_hash", sa.Text, primary_key=True, comment="Keyed hash of the code"),
    sa.Column(
        "grant_id",
        sa.Text,
        sa.ForeignKey("grants.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
        comment="The grant that it opens",
    ),
    sa.Column("code_challenge", sa.Text, nullable=False, comment="PKCE challenge, S256"),
    sa.Column("nonce", sa.Text, comment="The client's nonce, repeated in the ID token"),
    sa.Column("dpop_jkt", sa.Text, comment="Thumbprint of the key that it is bound to (RFC 9449 §10)"),
    sa.Column("created_at", UTCDateTime, nullable=False, comment="When it was issued"),
    sa.Column("expires_at", UTCDateTime, nullable=False, index=True, comment="When it stops working"),
    sa.Column("spent_at", UTCDateTime, comment="When it was redeemed; empty before"),
    comment="Authorization codes, each good for one redemption",
)

refresh_tokens = sa.Table(
    "refresh_tokens",
    metadata,
    sa.Column("token_hash", sa.Text, primary_key=True, comment="Keyed hash of the refresh token"),
    sa.Column(
        "grant_id",
        sa.Text,
        sa.ForeignKey("grants.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
        comment="The grant that it belongs to",
    ),
    sa.Column(
        "generation",
        sa.Integer,
        nullable=False,
        comment="0 for the first of its family, one more each rotation",
    ),
    sa.Column("created_at", UTCDateTime, nullable=False, comment="When it was issued"),
    sa.Column(
        "expires_at", UTCDateTime, nullable=False, index=True, comment="When it stops working if not used"
    ),
    sa.Column("spent_at", UTCDateTime, comment="When it was exchanged for its successor; empty before"),
    sa.Column(
        "dpop_jkt",
        sa.Text,
        comment="Thumbprint of the key that a public client must prove to hold (RFC 9449 §5)",
    ),
    comment="Refresh tokens, each exchanged once",
)

signing_keys = sa.Table(
    "signing_keys",
    metadata,
    sa.Column("kid", sa.Text, primary_key=True, comment="Key id: the RFC 7638 thumbprint"),
    sa.Column("algorithm", sa.Text, nullable=False, comment="JWS algorithm"),
    sa.Column("public_jwk", json_type, nullable=False, comment="Public key, published at the JWK set"),
    sa.Column(
        "private_jwk_sealed", sa.Text, nullable=False, comment="Private key, encrypted under SECRET_KEY"
    ),
    sa.Column("created_at", UTCDateTime, nullable=False, comment="When it was made"),
    sa.Column("signs_from", UTCDateTime, comment="When it begins to sign; empty for since it was made"),
    sa.Column("retired_at", UTCDateTime, comment="When it stopped signing; it still verifies a while"),
    sa.Column(
        "accepted_until",
        UTCDateTime,
        comment="Until when what it signed is accepted; empty for as long as it signs",
    ),
    comment="Keys that sign access tokens",
)

revocations = sa.Table(
    "revocations",
    metadata,
    sa.Column("id", _SERIAL, primary_key=True, comment="Running number"),
    sa.Column("kind", sa.Text, nullable=False, comment="grant or token"),
    sa.Column(
        "subject", sa.Text, nullable=False, unique=True, comment="Grant id, or jti of one access token"
    ),
    sa.Column("revoked_at", UTCDateTime, nullable=False, comment="When it was revoked"),
    sa.Column(
        "keep_until", UTCDateTime, nullable=False, index=True, comment="When no access token can be left"
    ),
    comment="What every process must refuse although its signature and expiry are good",
)

device_authorizations = sa.Table(
    "device_authorizations",
    metadata,
    sa.Column("device_code_hash", sa.Text, primary_key=True, comment="Keyed hash of the device code"),
    sa.Column(
        "user_code_hash",
        sa.Text,
        nullable=False,
        unique=True,
        comment="Keyed hash of the code that people type",
    ),
    sa.Column("reference", sa.Text, nullable=False, comment="Reference that the person is shown"),
    sa.Column(
        "client_id",
        sa.Text,
        sa.ForeignKey("clients.client_id", ondelete="CASCADE"),
        nullable=False,
        index=True,
        comment="Who asks",
    ),
    sa.Column("scope", sa.Text, nullable=False, comment="Scope that is asked for and known here"),
    sa.Column(
        "dropped_scope", sa.Text, nullable=False, comment="Scope that was asked for and is not known here"
    ),
    sa.Column("resource", sa.Text, nullable=False, comment="Resource that the tokens will be for"),
    sa.Column("interval", sa.Integer, nullable=False, comment="Seconds between two polls of the device"),
    sa.Column("source", sa.Text, comment="Network address of the device"),
    sa.Column("created_at", UTCDateTime, nullable=False, comment="When it was asked"),
    sa.Column(
        "expires_at", UTCDateTime, nullable=False, index=True, comment="When it can no longer be answered"
    ),
    sa.Column("polled_at", UTCDateTime, comment="When the device last asked for its tokens"),
    sa.Column("decided_at", UTCDateTime, comment="When the person answered; empty while it waits"),
    sa.Column("decision", sa.Text, comment="approve or deny"),
    sa.Column(
        "grant_id",
        sa.Text,
        sa.ForeignKey("grants.id", ondelete="CASCADE"),
        index=True,
        comment="What the person approved",
    ),
    sa.Column("spent_at", UTCDateTime, comment="When the device fetched its tokens; empty before"),
    comment="Devices that wait for someone to type their code (RFC 8628)",
)

pushed_requests = sa.Table(
    "pushed_requests",
    metadata,
    sa.Column("handle_hash", sa.Text, primary_key=True, comment="Keyed hash of the request_uri"),
    sa.Column(
        "client_id",
        sa.Text,
        sa.ForeignKey("clients.client_id", ondelete="CASCADE"),
        nullable=False,
        index=True,
        comment="Who pushed it",
    ),
    sa.Column("parameters_sealed", sa.Text, nullable=False, comment="Its parameters, encrypted"),
    sa.Column("created_at", UTCDateTime, nullable=False, comment="When it was pushed"),
    sa.Column("expires_at", UTCDateTime, nullable=False, index=True, comment="When it can no longer be used"),
    sa.Column("spent_at", UTCDateTime, comment="When a browser brought it; empty before"),
    sa.Column("request_id", sa.Text, comment="Authorization request that it became; empty before"),
    comment="Authorization requests that clients pushed (RFC 9126)",
)

used_identifiers = sa.Table(
    "used_identifiers",
    metadata,
    sa.Column("kind", sa.Text, primary_key=True, comment="What it identified: dpop, assertion or id-jag"),
    sa.Column("identifier_hash", sa.Text, primary_key=True, comment="Hash of issuer or key, and jti"),
    sa.Column(
        "expires_at",
        UTCDateTime,
        nullable=False,
        index=True,
        comment="When it would be refused as too old anyway",
    ),
    comment="What was presented once and is refused the second time, by every replica",
)

initial_access_tokens = sa.Table(
    "initial_access_tokens",
    metadata,
    sa.Column("id", sa.Text, primary_key=True, comment="Identifier for operators"),
    sa.Column("token_hash", sa.Text, nullable=False, unique=True, comment="Keyed hash of the token"),
    sa.Column("label", sa.Text, comment="What the operator gave it out for"),
    sa.Column(
        "uses_left", sa.Integer, comment="How many registrations it still allows; empty for any number"
    ),
    sa.Column("created_at", UTCDateTime, nullable=False, comment="When it was made"),
    sa.Column("expires_at", UTCDateTime, comment="When it stops working; empty for never"),
    sa.Column("last_used_at", UTCDateTime, comment="When someone last registered with it"),
    sa.Column("revoked_at", UTCDateTime, comment="When an operator took it back"),
    comment="Tokens that allow registration where it is not open (RFC 7591 §3)",
)
