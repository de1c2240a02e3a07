"""Tables of people and their sessions."""

import sqlalchemy as sa

from app.database import UTCDateTime, json_type, metadata

users = sa.Table(
    "users",
    metadata,
    sa.Column("id", sa.Text, primary_key=True, comment="Stable identifier; the sub of access tokens"),
    sa.Column(
        "username", sa.Text, nullable=False, unique=True, comment="Name to sign in with, in lower case"
    ),
    sa.Column("name", sa.Text, nullable=False, comment="Name to show"),
    sa.Column("email", sa.Text, comment="E-mail address, if known"),
    sa.Column(
        "password_hash",
        sa.Text,
        comment="argon2id hash with its salt and parameters; empty without a password",
    ),
    sa.Column("is_admin", sa.Boolean, nullable=False, comment="Whether this person operates the server"),
    sa.Column("created_at", UTCDateTime, nullable=False, comment="When the account was made"),
    sa.Column("password_changed_at", UTCDateTime, nullable=False, comment="When the password was last set"),
    sa.Column("last_sign_in_at", UTCDateTime, comment="When this person last signed in"),
    sa.Column("disabled_at", UTCDateTime, comment="When the account was disabled; empty while it works"),
    sa.Column("email_verified_at", UTCDateTime, comment="When the person showed that the address is theirs"),
    sa.Column(
        "is_auditor",
        sa.Boolean,
        nullable=False,
        server_default=sa.false(),
        comment="Whether this person may look at the operator's pages and change nothing",
    ),
    comment="People who may sign in",
)
# People are looked for by their address in lower case: by whoever forgot the password, and by providers.
sa.Index("ix_users_email", sa.func.lower(users.c.email))

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("id_hash", sa.Text, primary_key=True, comment="Keyed hash of the session cookie"),
    sa.Column(
        "user_id",
        sa.Text,
        sa.ForeignKey("users.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
        comment="Who signed in",
    ),
    sa.Column("created_at", UTCDateTime, nullable=False, comment="When this person signed in"),
    sa.Column("last_seen_at", UTCDateTime, nullable=False, comment="Last use, exact to a minute"),
    sa.Column(
        "expires_at", UTCDateTime, nullable=False, index=True, comment="When it ends however much it is used"
    ),
    sa.Column("source", sa.Text, comment="Network address of the sign-in"),
    sa.Column("user_agent", sa.Text, comment="Browser of the sign-in, as it names itself"),
    sa.Column(
        "methods",
        sa.Text,
        nullable=False,
        server_default="pwd",
        comment="How the person showed who they are (RFC 8176), separated by blanks",
    ),
    comment="Browsers that are signed in",
)

devices = sa.Table(
    "devices",
    metadata,
    sa.Column(
        "user_id",
        sa.Text,
        sa.ForeignKey("users.id", ondelete="CASCADE"),
        primary_key=True,
        comment="Who signed in",
    ),
    sa.Column("browser_hash", sa.Text, primary_key=True, comment="Keyed hash of the browser cookie"),
    sa.Column("last_sign_in_at", UTCDateTime, nullable=False, comment="Last sign-in of this person with it"),
    comment="Browsers that someone signed in with before; they may try again while a stranger guesses",
)

identities = sa.Table(
    "identities",
    metadata,
    sa.Column("issuer", sa.Text, primary_key=True, comment="Who vouches: an OpenID provider or enterprise"),
    sa.Column("subject", sa.Text, primary_key=True, comment="The person's sub there"),
    sa.Column(
        "user_id",
        sa.Text,
        sa.ForeignKey("users.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
        comment="Who that is here",
    ),
    sa.Column("created_at", UTCDateTime, nullable=False, comment="When it was linked"),
    sa.Column("last_used_at", UTCDateTime, comment="When it last vouched"),
    comment="Who people are at issuers that this server trusts",
)

passkeys = sa.Table(
    "passkeys",
    metadata,
    sa.Column("credential_id", sa.Text, primary_key=True, comment="Credential id of WebAuthn, in base64url"),
    sa.Column(
        "user_id",
        sa.Text,
        sa.ForeignKey("users.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
        comment="Whose it is",
    ),
    sa.Column("public_key", sa.Text, nullable=False, comment="Public key (COSE), in base64url"),
    sa.Column(
        "sign_count",
        sa.BigInteger,
        nullable=False,
        comment="Signature counter at its last use; 0 where the authenticator counts none",
    ),
    sa.Column("name", sa.Text, nullable=False, comment="What its owner calls it"),
    sa.Column("transports", json_type, nullable=False, comment="How a browser may reach it"),
    sa.Column("aaguid", sa.Text, nullable=False, comment="Model of the authenticator, as it says"),
    sa.Column(
        "is_backed_up", sa.Boolean, nullable=False, comment="Whether it is synchronised to other devices"
    ),
    sa.Column("created_at", UTCDateTime, nullable=False, comment="When it was made"),
    sa.Column("last_used_at", UTCDateTime, comment="When someone last signed in with it"),
    comment="Passkeys: WebAuthn credentials of people",
)

passkey_challenges = sa.Table(
    "passkey_challenges",
    metadata,
    sa.Column("challenge_hash", sa.Text, primary_key=True, comment="Keyed hash of the challenge"),
    sa.Column("purpose", sa.Text, nullable=False, comment="register, sign_in or second_factor"),
    sa.Column(
        "browser_hash",
        sa.Text,
        nullable=False,
        comment="Keyed hash of the cookie of the browser it belongs to",
    ),
    sa.Column(
        "user_id",
        sa.Text,
        sa.ForeignKey("users.id", ondelete="CASCADE"),
        index=True,
        comment="Who is meant; empty where the passkey tells",
    ),
    sa.Column("created_at", UTCDateTime, nullable=False, comment="When it was answered"),
    sa.Column("expires_at", UTCDateTime, nullable=False, index=True, comment="When it can no longer be used"),
    comment="Challenges that browsers answered with a passkey: each is good once",
)

authenticators = sa.Table(
    "authenticators",
    metadata,
    sa.Column(
        "user_id",
        sa.Text,
        sa.ForeignKey("users.id", ondelete="CASCADE"),
        primary_key=True,
        comment="Whose it is",
    ),
    sa.Column(
        "secret_sealed",
        sa.Text,
        nullable=False,
        comment="Secret of the one-time codes, encrypted under SECRET_KEY",
    ),
    sa.Column("created_at", UTCDateTime, nullable=False, comment="When it was made"),
    sa.Column(
        "last_step",
        sa.BigInteger,
        nullable=False,
        comment="Time step of the last code that was taken: each code works once",
    ),
    sa.Column("last_used_at", UTCDateTime, comment="When a code was last taken"),
    comment="Apps that show one-time codes (RFC 6238)",
)

recovery_codes = sa.Table(
    "recovery_codes",
    metadata,
    sa.Column("code_hash", sa.Text, primary_key=True, comment="Keyed hash of the code"),
    sa.Column(
        "user_id",
        sa.Text,
        sa.ForeignKey("users.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
        comment="Whose it is",
    ),
    sa.Column("created_at", UTCDateTime, nullable=False, comment="When it was made"),
    sa.Column("used_at", UTCDateTime, comment="When it was used; empty before"),
    comment="Codes that each sign in once where a second factor is lost",
)

pending_sign_ins = sa.Table(
    "pending_sign_ins",
    metadata,
    sa.Column("id_hash", sa.Text, primary_key=True, comment="Keyed hash of its id"),
    sa.Column(
        "browser_hash",
        sa.Text,
        nullable=False,
        comment="Keyed hash of the cookie of the browser it belongs to",
    ),
    sa.Column(
        "user_id",
        sa.Text,
        sa.ForeignKey("users.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
        comment="Whose first factor was right",
    ),
    sa.Column(
        "methods", sa.Text, nullable=False, comment="What was shown already (RFC 8176), separated by blanks"
    ),
    sa.Column(
        "onward", sa.Text, nullable=False, comment="What comes after it, as the query of the sign-in page"
    ),
    sa.Column("tries", sa.Integer, nullable=False, comment="Wrong second factors so far"),
    sa.Column("created_at", UTCDateTime, nullable=False, comment="When it was made"),
    sa.Column("expires_at", UTCDateTime, nullable=False, index=True, comment="When it can no longer be used"),
    comment="Sign-ins that wait for a second factor",
)

upstream_sign_ins = sa.Table(
    "upstream_sign_ins",
    metadata,
    sa.Column("state_hash", sa.Text, primary_key=True, comment="Keyed hash of the state"),
    sa.Column(
        "browser_hash",
        sa.Text,
        nullable=False,
        comment="Keyed hash of the cookie of the browser it belongs to",
    ),
    sa.Column("provider", sa.Text, nullable=False, comment="Name of the provider in the settings"),
    sa.Column("nonce", sa.Text, nullable=False, comment="What its ID token must repeat"),
    sa.Column(
        "verifier_sealed", sa.Text, nullable=False, comment="PKCE verifier, encrypted under SECRET_KEY"
    ),
    sa.Column(
        "onward", sa.Text, nullable=False, comment="What comes after it, as the query of the sign-in page"
    ),
    sa.Column("created_at", UTCDateTime, nullable=False, comment="When it was made"),
    sa.Column("expires_at", UTCDateTime, nullable=False, index=True, comment="When it can no longer be used"),
    sa.Column(
        "user_id",
        sa.Text,
        sa.ForeignKey("users.id", ondelete="CASCADE"),
        index=True,
        comment="Who links an identity; empty at a sign-in",
    ),
    comment="Browsers that are at another provider and are expected back",
)

account_links = sa.Table(
    "account_links",
    metadata,
    sa.Column("token_hash", sa.Text, primary_key=True, comment="Keyed hash of the token in the link"),
    sa.Column("purpose", sa.Text, nullable=False, comment="invitation, password_reset or email"),
    sa.Column(
        "user_id",
        sa.Text,
        sa.ForeignKey("users.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
        comment="Who it is for",
    ),
    sa.Column("email", sa.Text, comment="Address that it was sent to, or that it proves"),
    sa.Column(
        "created_by", sa.Text, comment="Who made it: user id of an operator, or cli; empty for the person"
    ),
    sa.Column("created_at", UTCDateTime, nullable=False, comment="When it was made"),
    sa.Column("expires_at", UTCDateTime, nullable=False, index=True, comment="When it can no longer be used"),
    sa.Column("used_at", UTCDateTime, comment="When it was used; empty before"),
    comment="Links by which people set a password or prove an address, each good once",
)
