"""Which network addresses lie outside: where a stranger may have us send something."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

Address = IPv4Address | IPv6Address

_INSIDE = [
    ip_network(each)
    for each in (
        "100.64.0.0/10",  # carrier-grade NAT; Alibaba Cloud's metadata
        "168.63.129.16/32",  # Azure's metadata: a public address that leads inside
        "192.0.0.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "2001::/23",  # Teredo and other tunnels
        "2001:db8::/32",
        "2002::/16",  # 6to4: an IPv4 address in disguise
        "3fff::/20",
    )
]
_GLOBAL_UNICAST = ip_network("2000::/3")
_NAT64 = ip_network("64:ff9b::/96")


def is_outside(address: Address) -> bool:
    """Whether it is an ordinary public address: not private, loopback, link-local, multicast …"""
    plain = _unwrapped(address)
    if isinstance(plain, IPv6Address) and plain not in _GLOBAL_UNICAST:
        return False
    special = plain.is_multicast or plain.is_reserved or not plain.is_global
    return not special and not any(plain in network for network in _INSIDE)


def _unwrapped(address: Address) -> Address:
    """The IPv4 address within, where an IPv6 address only carries one."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else address


@dataclass(frozen=True)
class Allowance:
    """The hosts and networks of our own that may be reached although they lie inside."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[str, ...] = ()

    @classmethod
    def read(cls, text: str) -> "Allowance":
        """Written as `erp.internal, 10.1.0.0/16`.

        Raises:
            ValueError: a network is not one.
        """
        entries = [entry.strip().lower() for entry in text.split(",") if entry.strip()]
        networks = [entry for entry in entries if "/" in entry or _is_address(entry)]
        hosts = frozenset(entry.rstrip(".") for entry in entries if entry not in networks)
        return cls(hosts, tuple(str(ip_network(network)) for network in networks))

    def names(self, host: str) -> bool:
        """Whether the host is allowed by its name."""
        return host.lower().rstrip(".") in self.hosts

    def holds(self, address: Address) -> bool:
        """Whether the address is in an allowed network."""
        plain = _unwrapped(address)
        return any(plain in ip_network(network) for network in self.networks)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
