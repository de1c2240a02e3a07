"""Which network addresses a server may be sent to by a stranger (RFC 6890): public unicast, nothing else."""

import ipaddress

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_IPV6_UNICAST = ipaddress.IPv6Network("2000::/3")
# What `is_global` lets through although it is set aside, or leads to an IPv4 address that it hides.
_SET_ASIDE = tuple(
    map(
        ipaddress.ip_network,
        (
            "192.0.0.0/24",  # protocol assignments
            "192.88.99.0/24",  # 6to4 relays
            "2001::/23",  # protocol assignments, Teredo among them
            "2002::/16",  # 6to4
            "3fff::/20",  # documentation
        ),
    )
)


def is_public(address: str) -> bool:
    """Whether this is the address of a public host, in the usual spelling; an IPv4 address inside IPv6 counts as what
    it leads to."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        elif ip in _NAT64:
            ip = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        elif ip.scope_id is not None or ip not in _IPV6_UNICAST:
            return False
    if ip.is_multicast or ip.is_reserved or any(ip in network for network in _SET_ASIDE):
        return False
    return ip.is_global


def is_loopback_address(address: str) -> bool:
    """Whether this is an address of this computer."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def network_of(source: str) -> str:
    """What is counted as one source: an IPv4 address, or the /64 of an IPv6 address, in which anyone has as many
    addresses as they like."""
    try:
        address = ipaddress.IPv6Address(source)
    except ValueError:
        return source
    return str(address.ipv4_mapped or ipaddress.ip_network((int(address) >> 64 << 64, 64)))
