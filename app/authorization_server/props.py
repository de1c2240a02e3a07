"""What the operator's hooks attach to a grant: encrypted at rest, opened only for tools and for hooks."""

import json
from collections.abc import Mapping
from typing import Any

from app.oauth import jwt
from app.oauth.credentials import Keys

_PURPOSE = "props"


class UnreadableProps(Exception):
    """They were sealed under a SECRET_KEY that is not known here."""


def seal_props(keys: Keys, props: Mapping[str, Any]) -> str:
    """The form in which they are stored; `props` is JSON."""
    return jwt.seal(json.dumps(dict(props)), keys.encryption_keys(_PURPOSE)[0])


def open_props(keys: Keys, sealed: str | None) -> dict[str, Any]:
    """What was attached; empty when nothing was.

    Raises:
        UnreadableProps
    """
    if sealed is None:
        return {}
    try:
        props: dict[str, Any] = json.loads(jwt.unseal(sealed, keys.encryption_keys(_PURPOSE)))
    except jwt.InvalidJWT:
        raise UnreadableProps("The props of a grant were sealed with another SECRET_KEY.") from None
    return props
