"""The first step of a client: the address is reached, and nobody can listen in."""

import ipaddress
from collections.abc import Mapping
from datetime import timedelta

from app.doctor.evidence import Check, Evidence
from app.doctor.finding import FROM_AFAR, Result, fail, ok, skip, warn
from app.oauth.uris import LOOPBACK_HOSTS
from app.visitor import Answer, Problem, Silence, origin_of

_SOON = timedelta(days=14)
_MENDS: Mapping[Problem, str] = {
    "refused": "Start the server, let its proxy listen on this port, and open the firewall.",
    "timeout": "See what drops the packets (a firewall, a security group) or why the server does not answer.",
    "out_of_time": "Mend what is slow first.",
    "forbidden": "Ask from the command line of a machine that may reach it: ostiary doctor URL.",
    "broken": "See that HTTP is spoken on this port, and that the URL’s scheme (http, https) is the right one.",
    "tls_expired": "Renew the certificate, and see why that did not happen by itself.",
    "tls_early": "Set the server’s clock, or use the certificate that is valid now.",
    "tls_host": "Use a certificate that names this host, or give people the address that it names.",
    "tls_chain": "Send the whole chain (fullchain.pem, not cert.pem), issued by an authority that everyone trusts.",
    "tls_version": "Let the proxy speak TLS 1.2 and 1.3.",
    "tls_none": "Let the proxy speak TLS on this port, or correct the port.",
    "tls": "Look into the proxy’s log: it and the clients do not agree on any kind of TLS.",
}


def dns(evidence: Evidence) -> Result:
    """The name leads somewhere."""
    if evidence.addresses:
        return ok(", ".join(evidence.addresses))
    return fail(
        "The host’s name leads nowhere.",
        "Make an A or AAAA record for it, or correct the address; a new record can take an hour to be seen.",
    )


def public(evidence: Evidence) -> Result:
    """Everyone on the internet can get there."""
    if not evidence.addresses:
        return skip("The name leads nowhere.")
    inside = [address for address in evidence.addresses if not _is_public(address)]
    if not inside:
        return ok("The address is on the public internet.")
    return warn(
        f"{', '.join(inside)} is reached from this computer or network only.",
        "Give it a public address (a proxy, a tunnel) if these clients are to use it.",
        *FROM_AFAR,
    )


def encrypted(evidence: Evidence) -> Result:
    """Nobody listens in."""
    if evidence.url.startswith("https://"):
        return ok("The address begins with https.")
    if _is_loopback(evidence.url):
        return ok("The address begins with http, and is on this computer.")
    return fail(
        "The address begins with http, and is not on this computer.",
        "Put TLS in front, and give people the https address.",
    )


def reachable(evidence: Evidence) -> Result:
    """There is an answer of any kind."""
    if not evidence.addresses:
        return skip("The name leads nowhere.")
    if isinstance(evidence.challenged, Silence):
        if evidence.challenged.problem.startswith("tls"):
            return skip("There is no TLS connection.")
        return _fail_of(evidence.challenged)
    return ok("The server answers.")


def certificate(evidence: Evidence) -> Result:
    """The server is the one that it says it is."""
    reply = evidence.challenged
    if not evidence.url.startswith("https://"):
        return skip("There is none without https.")
    if isinstance(reply, Silence) and reply.problem.startswith("tls"):
        return _fail_of(reply)
    if not isinstance(reply, Answer) or reply.certified_until is None:
        return skip("There was no connection.")
    left = reply.certified_until - evidence.now
    if left < _SOON:
        return warn(
            f"The certificate expires in {left.days} days.", "See that it is renewed by itself before that."
        )
    return ok(f"The certificate is valid until {reply.certified_until:%Y-%m-%d}.")


CHECKS = (
    Check("dns", "address", "Every client begins with the host’s name.", dns),
    Check(
        "public",
        "address",
        "Claude and ChatGPT call from their makers’ computers, not from the person’s.",
        public,
    ),
    Check(
        "encrypted",
        "address",
        "Whoever listens in gets the tokens; clients refuse http off this computer.",
        encrypted,
    ),
    Check(
        "certificate",
        "address",
        "Clients have no button to go on with a certificate that is wrong.",
        certificate,
    ),
    Check("reachable", "address", "Clients report no more than that they could not connect.", reachable),
)


def _fail_of(reply: Silence) -> Result:
    return fail(
        f"{reply.words[0].upper()}{reply.words[1:]}.", _MENDS.get(reply.problem, "Correct the address.")
    )


def _is_public(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_global


def _is_loopback(url: str) -> bool:
    host = origin_of(url).partition("://")[2]
    return host in LOOPBACK_HOSTS or host.rpartition(":")[0] in LOOPBACK_HOSTS
