"""Editions of a grant: each time that a person takes a part of it back, the access tokens with more are of an edition
that is over. Both roles spell it alike.
"""

CLAIM = "grant_edition"


def edition_of(grant_id: str, edition: object) -> str:
    """What stands for one edition of a grant among what is revoked; no grant has such an id."""
    return f"{grant_id}.{edition}"
