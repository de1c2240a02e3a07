"""Rich authorization requests (RFC 9396), which this server does not do."""

from app.oauth.errors import InvalidAuthorizationDetails
from app.oauth.parameters import Parameters


def refuse_authorization_details(parameters: Parameters) -> None:
    """Say that no such details are understood: whoever sends them must not believe that a limit holds which does not.

    Raises:
        InvalidAuthorizationDetails: there are some (§5).
    """
    if parameters.all("authorization_details"):
        raise InvalidAuthorizationDetails("authorization_details is not supported here.")
