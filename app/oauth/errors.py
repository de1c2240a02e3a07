"""One class for each error code of the wire, raised where the rule breaks and answered in one place."""

from typing import ClassVar

from app.oauth.jwt import FOREIGN_ALGORITHMS


class OAuthError(Exception):
    """An answer that refuses (RFC 6749 §4.1.2.1, §5.2 and the specifications that add codes to them).

    `description` is public: printable ASCII without quotes or backslashes (RFC 6749 §5.2).
    `reason` is for the audit record only: a short slug that tells apart what the wire must not.
    """

    error: ClassVar[str]
    status: int = 400
    # Whether it becomes an event of the audit record. What comes again and again by design is counted only.
    audited: ClassVar[bool] = True

    def __init__(
        self,
        description: str,
        *,
        reason: str | None = None,
        client_id: str | None = None,
        grant_id: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(description)
        self.description = description
        self.reason = reason
        self.client_id = client_id
        self.grant_id = grant_id
        self.retry_after = retry_after
        self.reference: str | None = None
        # Whom it concerns, where that is known and no client is meant; for the audit record.
        self.user_id: str | None = None


class InvalidRequest(OAuthError):
    """A parameter is missing, repeated or malformed (RFC 6749 §5.2)."""

    error = "invalid_request"


class InvalidClient(OAuthError):
    """The client is unknown or failed to authenticate (RFC 6749 §5.2); MCP clients register anew on it."""

    error = "invalid_client"
    status = 401

    def __init__(
        self,
        description: str,
        *,
        challenge_basic: bool = False,
        reason: str | None = None,
        client_id: str | None = None,
    ) -> None:
        super().__init__(description, reason=reason, client_id=client_id)
        self.challenge_basic = challenge_basic


class InvalidGrant(OAuthError):
    """The code or refresh token is unknown, expired, spent, revoked or another client's (RFC 6749 §5.2)."""

    error = "invalid_grant"


class UnauthorizedClient(OAuthError):
    """This client may not use this grant type (RFC 6749 §5.2)."""

    error = "unauthorized_client"


class UnsupportedGrantType(OAuthError):
    """The server does not know this grant type (RFC 6749 §5.2)."""

    error = "unsupported_grant_type"


class UnsupportedResponseType(OAuthError):
    """Only `code` is supported (RFC 6749 §4.1.2.1)."""

    error = "unsupported_response_type"


class InvalidScope(OAuthError):
    """The scope is malformed, unknown or wider than what was granted (RFC 6749 §5.2)."""

    error = "invalid_scope"


class InvalidTarget(OAuthError):
    """The `resource` is malformed or not one of ours (RFC 8707 §2)."""

    error = "invalid_target"


class AccessDenied(OAuthError):
    """The resource owner said no (RFC 6749 §4.1.2.1)."""

    error = "access_denied"


class LoginRequired(OAuthError):
    """No page may be shown, and nobody is signed in whose sign-in is enough (OpenID Connect Core §3.1.2.6)."""

    error = "login_required"


class ConsentRequired(OAuthError):
    """No page may be shown, and the person would have to be asked (OpenID Connect Core §3.1.2.6)."""

    error = "consent_required"


class RequestNotSupported(OAuthError):
    """Parameters in a request object are not read (OpenID Connect Core §3.1.2.6, RFC 9101)."""

    error = "request_not_supported"


class RequestURINotSupported(OAuthError):
    """A request object is not fetched (OpenID Connect Core §3.1.2.6); only what was pushed has a `request_uri`."""

    error = "request_uri_not_supported"


class InvalidRequestURI(OAuthError):
    """The `request_uri` names nothing that this client pushed lately and that waits for its browser (RFC 9126 §4)."""

    error = "invalid_request_uri"


class InvalidAuthorizationDetails(OAuthError):
    """No type of `authorization_details` is known here (RFC 9396 §5)."""

    error = "invalid_authorization_details"


class AuthorizationPending(OAuthError):
    """The person has not answered yet; the device asks again (RFC 8628 §3.5)."""

    error = "authorization_pending"
    audited = False


class SlowDown(AuthorizationPending):
    """The same, and the device asked too soon: it waits five seconds longer from now on (RFC 8628 §3.5)."""

    error = "slow_down"


class ExpiredToken(OAuthError):
    """The device code ran out before it was redeemed; the device starts anew (RFC 8628 §3.5)."""

    error = "expired_token"


class InvalidRedirectURI(OAuthError):
    """A redirect URI in a registration is not acceptable (RFC 7591 §3.2.2)."""

    error = "invalid_redirect_uri"


class InvalidClientMetadata(OAuthError):
    """A field of a registration is not acceptable (RFC 7591 §3.2.2)."""

    error = "invalid_client_metadata"


class InvalidToken(OAuthError):
    """An access token is missing, unknown, over, revoked or bound to another key (RFC 6750 §3.1, RFC 9449 §7).

    `presented` is False where there was none: the challenge names no error then. `scheme` is the one that was used.
    """

    error = "invalid_token"
    status = 401

    def __init__(
        self,
        description: str,
        *,
        presented: bool = True,
        scheme: str = "Bearer",
        reason: str | None = None,
        client_id: str | None = None,
    ) -> None:
        super().__init__(description, reason=reason, client_id=client_id)
        self.presented = presented
        self.scheme = scheme

    @property
    def challenge(self) -> str:
        """The `WWW-Authenticate` of the answer."""
        return _challenge(self, self.scheme) if self.presented else "Bearer"


class InsufficientScope(OAuthError):
    """A good bearer token that allows too little; `scope` is all that is needed (RFC 6750 §3.1)."""

    error = "insufficient_scope"
    status = 403

    def __init__(
        self,
        description: str,
        scope: str,
        *,
        scheme: str = "Bearer",
        client_id: str | None = None,
        grant_id: str | None = None,
    ) -> None:
        super().__init__(description, client_id=client_id, grant_id=grant_id)
        self.scope = scope
        self.scheme = scheme

    @property
    def challenge(self) -> str:
        """The `WWW-Authenticate` of the answer."""
        return f'{_challenge(self, self.scheme)}, scope="{self.scope}"'


class InvalidDPoPProof(OAuthError):
    """The proof of possession is missing, malformed, for another request, too old or used before (RFC 9449 §5).

    Where tokens are issued the answer is 400, where one is used it is 401 with a challenge (§7.1).
    """

    error = "invalid_dpop_proof"
    challenge: str | None = None

    def at_resource(self) -> "InvalidDPoPProof":
        """The same, for who used a token."""
        self.status = 401
        self.challenge = _challenge(self, "DPoP")
        return self


class UseDPoPNonce(InvalidDPoPProof):
    """The proof lacks a nonce of this server, or holds an old one; `nonce` is the one to use (RFC 9449 §8, §9)."""

    error = "use_dpop_nonce"

    def __init__(self, nonce: str) -> None:
        super().__init__("The DPoP proof must hold the nonce of the DPoP-Nonce header.", reason="proof_nonce")
        self.nonce = nonce


class MethodNotAllowed(InvalidRequest):
    """The endpoint exists, but not for this HTTP method."""

    status = 405


class ContentTooLarge(InvalidRequest):
    """The request body is over the limit."""

    status = 413


class TooManyRequests(OAuthError):
    """A rate limit was reached; `retry_after` tells the seconds to wait (RFC 6585 §4)."""

    error = "temporarily_unavailable"
    status = 429
    audited = False


class TemporarilyUnavailable(OAuthError):
    """The server cannot decide now, for example because the database is away; nothing was refused for good."""

    error = "temporarily_unavailable"
    status = 503

    def __init__(
        self, description: str = "The server is temporarily unable to answer; try again shortly."
    ) -> None:
        super().__init__(description, retry_after=2)


class ServerError(OAuthError):
    """The server made a mistake (RFC 6749 §4.1.2.1); the log tells which, under the reference."""

    error = "server_error"
    status = 500


def _challenge(error: OAuthError, scheme: str) -> str:
    challenge = f'{scheme} error="{error.error}", error_description="{error.description}"'
    # RFC 9449 §7.1: what proofs may be signed with.
    return challenge if scheme == "Bearer" else f'{challenge}, algs="{" ".join(FOREIGN_ALGORITHMS)}"'
