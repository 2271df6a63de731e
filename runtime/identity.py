"""Who a bearer token speaks for: our own by the local key, all others by the issuer's."""

import jwt

from runtime.oidc import Issuer
from runtime.settings import Settings
from runtime.tokens import ISSUER, Principal, TokenInvalid, verify


class Identity:
    """Knows the bearers of tokens, whichever of the two kinds they hold."""

    def __init__(self, settings: Settings, key: bytes) -> None:
        self._key = key
        self.issuer = Issuer(settings) if settings.oidc_issuer else None

    async def bearer(self, token: str) -> Principal:
        """Who the token speaks for.

        Raises:
            TokenInvalid, RoleUnclear, IdentityUnavailable: as `Issuer.verify`.
        """
        if self.issuer is None or (issued_by := _issuer_named(token)) == ISSUER:
            return verify(self._key, token)
        if issued_by != self.issuer.name:
            raise TokenInvalid
        return await self.issuer.verify(token)

    async def close(self) -> None:
        """Let go of connections."""
        if self.issuer is not None:
            await self.issuer.close()


def _issuer_named(token: str) -> object:
    """Whose token it says it is: only to choose the key that it is then verified with."""
    try:
        return jwt.decode(token, options={"verify_signature": False}).get("iss")
    except jwt.PyJWTError:
        return None
