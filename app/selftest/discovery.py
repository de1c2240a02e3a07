"""The documents of discovery, and the headers of what machines ask."""

from app.doctor import resource_metadata, server_metadata
from app.doctor.evidence import text_of, texts_of
from app.selftest.case import EVIL, Case, NotThere, Refuted, Scene, answered
from app.visitor import Answer, origin_of

_DISGUISES = (
    {"Host": "evil.example"},
    {"X-Forwarded-Host": "evil.example"},
    {"Forwarded": "host=evil.example;proto=http"},
    {"X-Forwarded-Proto": "http"},
    {"X-Original-Host": "evil.example", "X-Forwarded-Prefix": "/evil"},
)


async def disguises(scene: Scene) -> str:
    """DSC-1."""
    for address in (scene.evidence.probes[-1].url, resource_metadata.inserted_address(scene.url)):
        plain = await scene.visitor.get(address)
        for headers in _DISGUISES:
            reply = await scene.visitor.get(address, headers)
            told = ", ".join(f"{name}: {value}" for name, value in headers.items())
            if not isinstance(reply, Answer) or reply.status != 200:
                continue
            if isinstance(plain, Answer) and reply.document != plain.document:
                raise Refuted(f"{told} changes {address}.")
    return "The documents stay as they are."


async def other_resources(scene: Scene) -> str:
    """DSC-4."""
    address = f"{resource_metadata.root_address(scene.url)}/selftest-nothing"
    answer = answered(await scene.visitor.get(address))
    if answer.status == 200 and text_of(answer.document, "resource") is not None:
        raise Refuted(f"There is a document for {address}, where no resource is.")
    return _json_404(answer)


async def other_issuers(scene: Scene) -> str:
    """DSC-3."""
    issuer = scene.issuer.rstrip("/")
    for address in server_metadata.addresses_of(f"{issuer}/selftest-nothing"):
        reply = await scene.visitor.get(address)
        told = (
            text_of(reply.document, "issuer") if isinstance(reply, Answer) and reply.status == 200 else None
        )
        if told is not None and told != scene.issuer:
            raise Refuted(f"{address} tells another issuer: {told}.")
    return "No document tells another issuer."


async def one_issuer(scene: Scene) -> str:
    """DSC-3."""
    told = text_of(scene.evidence.server, "issuer")
    if told != scene.issuer:
        raise Refuted(f"issuer is {told}, the resource calls it {scene.issuer}.")
    return f"{told} everywhere."


async def no_offline_access(scene: Scene) -> str:
    """DSC-5."""
    if "offline_access" in (texts_of(scene.evidence.resource, "scopes_supported") or []):
        raise Refuted("scopes_supported of the resource names offline_access.")
    return "It is not there."


async def only_s256(scene: Scene) -> str:
    """DSC-7."""
    methods = texts_of(scene.evidence.server, "code_challenge_methods_supported")
    if methods != ["S256"]:
        raise Refuted(f"It is {methods}.")
    return "S256 alone."


async def never_with_credentials(scene: Scene) -> str:
    """HDR-3."""
    addresses = [scene.evidence.probes[-1].url, scene.url, scene.endpoint("token")]
    for address in addresses:
        for method in ("OPTIONS", "POST"):
            headers = {"Origin": EVIL, "Access-Control-Request-Method": "POST"}
            answer = answered(await scene.visitor.ask(method, address, headers))
            if answer.header("access-control-allow-credentials"):
                raise Refuted(f"{method} {address} allows credentials of pages of others.")
    return "Pages of others never come with credentials."


async def hsts(scene: Scene) -> str:
    """HDR-6."""
    if not scene.issuer.startswith("https://"):
        raise NotThere("There is no https.")
    answer = answered(await scene.visitor.get(scene.evidence.probes[-1].url))
    told = answer.header("strict-transport-security") or ""
    seconds = told.lower().partition("max-age=")[2].partition(";")[0].strip('" ')
    if not seconds.isdigit() or int(seconds) < 31_536_000:
        raise Refuted(f"Strict-Transport-Security is {told or 'missing'}.")
    return told


async def nothing_there(scene: Scene) -> str:
    """HDR-9."""
    return _json_404(
        answered(await scene.visitor.get(f"{origin_of(scene.issuer)}/.well-known/selftest-nothing"))
    )


async def trace(scene: Scene) -> str:
    """RFC 9110 §9.3.8: what is sent is not to come back."""
    answer = answered(await scene.visitor.ask("TRACE", scene.endpoint("token"), {"X-Selftest": "secret"}))
    if answer.status < 400 or b"secret" in answer.body:
        raise Refuted(f"{answer.words}.")
    return f"{answer.words}."


CASES = (
    Case("DSC-1", "foreign hosts in Host, X-Forwarded-… and Forwarded", "nothing changes", disguises),
    Case("DSC-3", "the issuer in the metadata", "as the resource calls it", one_issuer),
    Case("DSC-3", "metadata of an issuer that is not there", "none, or the same issuer", other_issuers),
    Case("DSC-4", "metadata of a resource that is not there", "404 in JSON", other_resources),
    Case("DSC-5", "offline_access as a scope of the resource", "it is not there", no_offline_access),
    Case("DSC-7", "code_challenge_methods_supported", "S256 alone", only_s256),
    Case("HDR-3", "CORS for machines’ paths", "never with credentials", never_with_credentials),
    Case("HDR-6", "Strict-Transport-Security", "at least a year", hsts),
    Case("HDR-9", "an unknown address below /.well-known/", "404 in JSON", nothing_there),
    Case("RFC 9110 §9.3.8", "the method TRACE", "refused", trace),
)


def _json_404(answer: Answer) -> str:
    if answer.status != 404 or answer.document is None:
        raise Refuted(f"{answer.words}.")
    return f"{answer.words}, in JSON."
