"""Which network addresses a worker may connect to when strangers write its links.

Decisions:
    Public means: anyone's server may be there. Everything else is forbidden unless an `AllowedHost` binds the very
    name to the very range; an allowance for a range alone would let any name in the world point into it.

    The list of what is special is spelled out beside Python's own `is_global`, which differs between the supported
    versions and counts some forms as global that stand for an inner address.

Limits: which address is connected to is http.py's business; this file decides on what it is shown.
"""

import ipaddress
from dataclasses import dataclass
from typing import Optional, Union

from transforms.errors import UsageError

IPAddress = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
IPNetwork = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

# Reached through public-looking addresses, but serving the machine itself: Azure's host agent.
_METADATA_ADDRESSES = frozenset({ipaddress.ip_address("168.63.129.16")})
# Global by the registry that Python's ipaddress follows, or not known to every supported Python.
# Source: IANA special-purpose registries; RFC 3056 (6to4), 4380 (Teredo), 7526, 8215, 9637.
_FORBIDDEN_NETWORKS = tuple(
    ipaddress.ip_network(network)
    for network in (
        "100.64.0.0/10",
        "192.0.0.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "240.0.0.0/4",
        "2001::/23",
        "2002::/16",
        "2001:db8::/32",
        "3fff::/20",
    )
)
_GLOBAL_UNICAST_V6 = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


@dataclass(frozen=True)
class AllowedHost:
    """A host that may resolve into `network` although that is not public; binds both, so neither is allowed alone."""

    name: str
    network: IPNetwork

    @property
    def pinned_address(self) -> Optional[str]:
        """The address `name` is taken to have without asking DNS; None for a range or a name that is an address."""
        if self.network.num_addresses != 1 or _as_address(self.name) is not None:
            return None
        return str(self.network.network_address)


def parse_allow_host(text: str) -> AllowedHost:
    """Return what ``NAME=CIDR``, ``NAME=ADDRESS`` or a bare address allows.

    A single address pins a name to it (no DNS), as curl's --resolve does; a name that is an address needs no range.

    Raises:
        UsageError: it is none of these.
    """
    name, _, network = text.strip().partition("=")
    host = _normal_host(name.strip())
    address = _as_address(host)
    network = network.strip().strip("[]") or (str(address) if address is not None else "")
    try:
        return AllowedHost(host, ipaddress.ip_network(network if host else "", strict=False))
    except ValueError:
        raise UsageError(
            f"--allow-host {text!r}: write NAME=CIDR (such as news.example=10.0.0.0/8), NAME=ADDRESS, or an address"
        ) from None


def is_public(address: IPAddress) -> bool:
    """Return whether anyone's server may be at `address`: nothing private, special, or standing for such an address.

    IPv6 forms that carry an IPv4 address count as that address (mapped, NAT64) or are not public at all (6to4,
    Teredo, IPv4-compatible: no news server is reached through them, an internal one may be).
    """
    inner = _embedded(address)
    if inner is not None:
        return is_public(inner)
    if isinstance(address, ipaddress.IPv6Address) and address not in _GLOBAL_UNICAST_V6:
        return False
    if any(address in network for network in _FORBIDDEN_NETWORKS if network.version == address.version):
        return False
    return address.is_global and not address.is_multicast and address not in _METADATA_ADDRESSES


def _embedded(address: IPAddress) -> Optional[ipaddress.IPv4Address]:
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def _as_address(host: str) -> Optional[IPAddress]:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def _normal_host(host: str) -> str:
    address = _as_address(host)
    if address is not None:
        return str(address)
    host = host.rstrip(".").lower()
    try:
        return host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        return host


class AddressRules:
    """Which host may be at which address: public ones, and what `allow_hosts` adds."""

    def __init__(self, allow_hosts: tuple[AllowedHost, ...] = ()) -> None:
        self._networks: dict[str, list[IPNetwork]] = {}
        self._pinned: dict[str, list[str]] = {}
        for allowed in allow_hosts:
            name = _normal_host(allowed.name)
            self._networks.setdefault(name, []).append(allowed.network)
            if allowed.pinned_address is not None:
                self._pinned.setdefault(name, []).append(allowed.pinned_address)

    def names(self, host: str) -> bool:
        """Return whether an allowance is bound to `host`."""
        return _normal_host(host) in self._networks

    def pinned_addresses(self, host: str) -> list[str]:
        """Return the addresses `host` is pinned to; empty when DNS is to be asked."""
        return self._pinned.get(_normal_host(host), [])

    def permit(self, host: str, address: str) -> bool:
        """Return whether `host` may be connected to at `address`; an address that cannot be read may not."""
        parsed = _as_address(address)
        if parsed is None:
            return False
        if is_public(parsed):
            return True
        inner = _embedded(parsed) or parsed
        return any(
            inner.version == network.version and inner in network
            for network in self._networks.get(_normal_host(host), ())
        )
