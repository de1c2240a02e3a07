"""Request parameters: `application/x-www-form-urlencoded`, each at most once (RFC 6749 §3.1, §3.2, appendix B)."""

from urllib.parse import parse_qsl

from app.oauth.errors import InvalidRequest

_MOST_FIELDS = 100
_REPEATABLE = {"resource", "audience"}  # RFC 8707 §2, RFC 8693 §2.1


class Parameters:
    """The parameters of one request; an empty value counts as absent (RFC 6749 §3.1)."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            if value:
                self._values.setdefault(name, []).append(value)

    def get(self, name: str) -> str | None:
        """The value, or None.

        Raises:
            InvalidRequest: the parameter is repeated.
        """
        values = self._values.get(name)
        if values is None:
            return None
        if len(values) > 1:
            raise InvalidRequest("A parameter must not be repeated.")
        return values[0]

    def all(self, name: str) -> tuple[str, ...]:
        """Every value of a parameter that may be repeated (`resource`, RFC 8707 §2)."""
        return tuple(self._values.get(name, ()))

    def pairs(self) -> list[tuple[str, str]]:
        """Every value with its name."""
        return [(name, value) for name, values in self._values.items() for value in values]

    def refuse_repeated(self) -> None:
        """Hold the rule for every parameter at once, known or not.

        Raises:
            InvalidRequest: one that may not be repeated is.
        """
        for name in self._values.keys() - _REPEATABLE:
            self.get(name)

    def require(self, name: str) -> str:
        """The value of a parameter that must be there.

        Raises:
            InvalidRequest: it is missing or repeated.
        """
        value = self.get(name)
        if value is None:
            raise InvalidRequest(f"The parameter {name} is required.")
        return value


def parse_parameters(encoded: bytes) -> Parameters:
    """Decode a form body or a query string.

    Raises:
        InvalidRequest: it is not UTF-8 once decoded, has a NUL byte, or too many fields.
    """
    try:
        pairs = parse_qsl(
            encoded.decode("ascii"), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict"
        )
    except ValueError:
        raise InvalidRequest("The parameters could not be read.") from None
    # PostgreSQL cannot store NUL and no parameter of any specification may hold it.
    if any("\x00" in name or "\x00" in value for name, value in pairs):
        raise InvalidRequest("The parameters hold a forbidden character.")
    return Parameters(pairs)
