"""What is known of one request while it is served; in its scope, for who learns more of it."""

from dataclasses import dataclass

SEEN = "ostiary.seen"
NO_ROUTE = "none"


@dataclass(slots=True)
class Seen:
    """One request.

    `endpoint` is a route's template or the path of a protected resource, `method` one of those known, or `other`;
    `protected` tells that it is the latter.
    """

    request_id: str
    method: str
    endpoint: str = NO_ROUTE
    protected: bool = False
    status: int = 0
    # Seconds until the answer began.
    waited: float | None = None
