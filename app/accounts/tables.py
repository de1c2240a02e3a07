"""Tables of people and their sessions."""

import sqlalchemy as sa

from app.database import UTCDateTime, metadata

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
    comment="People who may sign in",
)

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
