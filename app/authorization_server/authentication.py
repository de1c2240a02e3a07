"""What a client may ask of the person's sign-in (OpenID Connect Core §3.1.2.1), and whether a sign-in is enough.

Refuses, in this order:
 1. a nonce that is too long                                             invalid_request
 2. a prompt that is not known, or `none` beside another                 invalid_request
 3. a max_age that is no number of seconds                               invalid_request
 4. where no page may be shown (`prompt=none`):
    nobody signed in, not lately enough, or not the one who is meant     login_required
    the question of consent, which is asked every time                   consent_required
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.authorization_server.keys import SigningKeys
from app.authorization_server.policy import Policy
from app.authorization_server.records import AuthorizationRequest
from app.oauth import jwt
from app.oauth.errors import ConsentRequired, InvalidRequest, LoginRequired
from app.oauth.features import Feature
from app.oauth.parameters import Parameters

NONE = "none"
LOGIN = "login"
SELECT_ACCOUNT = "select_account"
PROMPTS = (NONE, LOGIN, "consent", SELECT_ACCOUNT)
_LONGEST_NONCE = 512
_LONGEST_LOGIN_HINT = 200
_SECONDS = re.compile(r"[0-9]+\Z")
_MOST_DIGITS = 9  # 31 years; no session is so old
_NEXT = timedelta(microseconds=1)  # the finest that both databases tell apart


@dataclass(frozen=True, slots=True)
class AuthenticationRequest:
    """The parameters about the sign-in. `max_age` is None where any sign-in is recent enough."""

    nonce: str | None = None
    prompts: frozenset[str] = frozenset()
    max_age: timedelta | None = None
    login_hint: str | None = None
    id_token_hint: str | None = None


@dataclass(frozen=True, slots=True)
class SignIn:
    """Who is signed in, since when, and how they showed it (RFC 8176)."""

    user_id: str
    at: datetime
    methods: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Demand:
    """Which sign-in may answer: one at this instant or later, and of this person; None for any."""

    signed_in_after: datetime | None = None
    subject: str | None = None

    def is_met_by(self, sign_in: SignIn | None) -> bool:
        """Whether this sign-in is enough."""
        if sign_in is None or self.subject not in {None, sign_in.user_id}:
            return False
        return self.signed_in_after is None or sign_in.at >= self.signed_in_after

    def time_of_sign_in(self, now: datetime) -> datetime:
        """The time of a sign-in that is made for the request, which came first: whatever the clock says of the replica
        that it reached.
        """
        return max(now, self.signed_in_after or now)


def parse(parameters: Parameters, policy: Policy) -> AuthenticationRequest:
    """Read the parameters; while OpenID Connect is switched off they mean nothing.

    Raises:
        InvalidRequest: as the head of this file says, or one is repeated.
    """
    if not policy.has(Feature.OPENID):
        return AuthenticationRequest()
    nonce = parameters.get("nonce")
    if len(nonce or "") > _LONGEST_NONCE:
        raise InvalidRequest("nonce is too long.")
    prompts = frozenset((parameters.get("prompt") or "").split(" ")) - {""}
    if not prompts <= set(PROMPTS):
        raise InvalidRequest("prompt holds a value that is not supported.")
    if NONE in prompts and len(prompts) > 1:
        raise InvalidRequest("prompt must not hold none beside another value.")
    login_hint = parameters.get("login_hint") or ""
    # A hint that can't be a name is no reason to refuse: the person types one.
    is_name = len(login_hint) <= _LONGEST_LOGIN_HINT and login_hint.isprintable()
    return AuthenticationRequest(
        nonce=nonce,
        prompts=prompts,
        max_age=_max_age(parameters.get("max_age")),
        login_hint=login_hint.strip() if is_name and login_hint.strip() else None,
        id_token_hint=parameters.get("id_token_hint"),
    )


def check(
    asked: AuthenticationRequest,
    client_id: str,
    sign_in: SignIn | None,
    signing_keys: SigningKeys,
    policy: Policy,
    now: datetime,
) -> Demand:
    """Which sign-in may answer this client's request, made now by a browser with this sign-in.

    Raises:
        LoginRequired, ConsentRequired: as the head of this file says.
    """
    subject = _subject_of_hint(asked.id_token_hint, client_id, signing_keys, policy)
    demand = Demand(_earliest(asked, sign_in, now), subject)
    if NONE in asked.prompts:
        unknown_hint = asked.id_token_hint is not None and subject is None
        if unknown_hint or not demand.is_met_by(sign_in):
            raise LoginRequired("The person has to sign in.")
        raise ConsentRequired("The person is asked every time.")
    return demand


def demand_of(request: AuthorizationRequest) -> Demand:
    """Which sign-in may answer a request that waits."""
    return Demand(request.signed_in_after, request.subject)


def _earliest(asked: AuthenticationRequest, sign_in: SignIn | None, now: datetime) -> datetime | None:
    """The earliest sign-in that is enough."""
    if LOGIN in asked.prompts or asked.max_age == timedelta(0):
        # Never the one that is there, even if the clock of the replica that it reached is ahead of this one's.
        return now if sign_in is None else max(now, sign_in.at + _NEXT)
    return None if asked.max_age is None else now - asked.max_age


def _max_age(value: str | None) -> timedelta | None:
    if value is None:
        return None
    if not _SECONDS.match(value):
        raise InvalidRequest("max_age must be a number of seconds.")
    digits = value.lstrip("0") or "0"
    return timedelta(seconds=int(digits)) if len(digits) <= _MOST_DIGITS else None


def _subject_of_hint(
    hint: str | None, client_id: str, signing_keys: SigningKeys, policy: Policy
) -> str | None:
    """Whom an ID token of ours for this client names, however old it is; another says nothing about anyone."""
    if hint is None:
        return None
    try:
        claims = jwt.verify(hint, signing_keys.verification, jwt.ID_TOKEN_TYPE)
    except jwt.InvalidJWT:
        return None
    if (claims.get("iss"), claims.get("aud")) != (policy.issuer, client_id):
        return None
    return str(claims["sub"])
