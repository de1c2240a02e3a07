"""What a client is told about a person: the same in access tokens, in ID tokens and at the userinfo endpoint.

`email_verified` and `updated_at` are left out: whether an address was confirmed here decides only where links to new
passwords are sent, and no date of a profile is kept (OpenID Connect Core §5.1, §5.3.2).
"""

from collections.abc import Collection

from app.authorization_server.records import ResourceOwner

# By the scope that asks for them (OpenID Connect Core §5.4).
CLAIMS_BY_SCOPE = {"profile": ("preferred_username", "name"), "email": ("email",)}


def claims_about(owner: ResourceOwner, scopes: Collection[str]) -> dict[str, str]:
    """Who the person is, as far as they agreed to tell and as far as it is known."""
    known = {"preferred_username": owner.username, "name": owner.name, "email": owner.email}
    asked = [name for scope, names in CLAIMS_BY_SCOPE.items() if scope in scopes for name in names]
    return {name: value for name in asked if (value := known[name]) is not None}
