"""The check of access tokens where the authorization server is another process: signature here, revocation there."""

from app.clock import Clock
from app.oauth import jwt
from app.oauth.scopes import Scope
from app.resource_server.issuer import Issuer
from app.resource_server.verifier import AccessTokenReader, Caller, InvalidToken, UnknownToken


class RemoteVerifier:
    """Verifies access tokens of an issuer that is asked over HTTP.

    Only tokens that the issuer signed for this resource are ever sent to it: nobody learns of others.
    """

    def __init__(
        self, issuer: Issuer, resource: str, clock: Clock, catalogue: tuple[Scope, ...] = ()
    ) -> None:
        self._issuer = issuer
        self._clock = clock
        self._reader = AccessTokenReader(issuer.issuer, resource, lambda: issuer.keys, catalogue)

    async def verify(self, token: str) -> Caller:
        """See `AccessTokenVerifier.verify`."""
        try:
            claimed = jwt.read_unverified(token, (jwt.ACCESS_TOKEN_TYPE,), (jwt.ALGORITHM,))
        except jwt.InvalidJWT:
            raise UnknownToken from None
        await self._issuer.find_key(claimed.kid)
        caller = self._reader.read(token, self._clock.now())
        if not await self._issuer.is_active(token):
            raise InvalidToken("The access token was revoked.")
        return caller
