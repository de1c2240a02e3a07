"""The parts of the protocol that an operator may switch off."""

from enum import StrEnum


class Feature(StrEnum):
    """What an operator may switch off; the names stand in `FEATURES_OFF`."""

    REGISTRATION_MANAGEMENT = "registration_management"  # RFC 7592
    PRIVATE_KEY_JWT = "private_key_jwt"  # RFC 7523 §2.2
    CLIENT_CREDENTIALS = "client_credentials"  # RFC 6749 §4.4
    DEVICE = "device"  # RFC 8628
    TOKEN_EXCHANGE = "token_exchange"  # noqa: S105 - RFC 8693
    JWT_BEARER = "jwt_bearer"  # RFC 7523 §2.1 with ID-JAG
    INTROSPECTION = "introspection"  # RFC 7662
    PUSHED_REQUESTS = "pushed_requests"  # RFC 9126
    OPENID = "openid"  # OpenID Connect Core
    DPOP = "dpop"  # RFC 9449
