"""Where a webhook may be sent: never, by whatever spelling, to an address inside the house.

An address is judged when someone subscribes and again at each attempt, on the very address that is
then connected to: a name that leads elsewhere by then gets nothing.
"""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import ip_address

import httpx

from domain.addresses import Address, Allowance, is_outside

LONGEST_URL = 2000
RESOLVERS = 64
"""Names looked up at once; a name server that does not answer holds each for its own time."""

_PORTS = {"http": 80, "https": 443}
_WELL_KNOWN = 1024
_ENDS_IN_A_NUMBER = re.compile(r"(^|\.)(\d+|0x[0-9a-f]*)\.?$", re.IGNORECASE)
_DOTTED_QUAD = re.compile(r"\d+(\.\d+){3}")
_resolvers = ThreadPoolExecutor(RESOLVERS, thread_name_prefix="resolver")

Resolve = Callable[[str, int], Awaitable[list[Address]]]
"""A port to the name service: the addresses of a host."""


class BadTarget(ValueError):
    """A target that nothing is sent to.

    Attributes:
        code: `not_a_url`, `scheme`, `userinfo`, `fragment`, `host`, `port`, `unknown_host` or
            `inside`.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Target:
    """A URL and the addresses, all of them judged, at which its host is reached."""

    url: httpx.URL
    addresses: list[Address]


async def resolve(host: str, port: int) -> list[Address]:
    """The addresses of a host, as the operating system knows them.

    Raises:
        OSError: it has none.
    """
    loop = asyncio.get_running_loop()
    found = await loop.run_in_executor(
        _resolvers, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    )
    # A scope (fe80::1%eth0) is no part of the address that is judged.
    plain = dict.fromkeys(str(each[4][0]).partition("%")[0] for each in found)
    return [ip_address(each) for each in plain]


class Targets:
    """Judges targets.

    Args:
        allowance: what of the inside may be reached; such a host may be spoken to by plain HTTP,
            and on any port.
    """

    def __init__(self, allowance: Allowance, resolve: Resolve = resolve) -> None:
        self._allowance, self._resolve = allowance, resolve

    async def judge(self, text: str) -> Target:
        """The target at this URL.

        Raises:
            BadTarget: nothing may be sent there.
        """
        url = _parsed(text)
        host, port = url.raw_host.decode("ascii"), url.port or _PORTS[url.scheme]
        addresses = await self._addresses(host, port)
        known = self._allowance.names(host)
        allowed = known or all(self._allowance.holds(each) for each in addresses)
        if not allowed:
            if url.scheme != "https":
                raise BadTarget("scheme")
            if port < _WELL_KNOWN and port not in _PORTS.values():
                raise BadTarget("port")
            # Every one: a name with an outer and an inner address could be used for either.
            if not all(is_outside(each) or self._allowance.holds(each) for each in addresses):
                raise BadTarget("inside")
        return Target(url, addresses)

    async def _addresses(self, host: str, port: int) -> list[Address]:
        try:
            return [ip_address(host)]
        except ValueError:
            pass
        try:
            addresses = await self._resolve(host, port)
        except (OSError, UnicodeError, ValueError):
            raise BadTarget("unknown_host") from None
        if not addresses:
            raise BadTarget("unknown_host")
        return addresses


def _parsed(text: str) -> httpx.URL:
    """The URL, read by the one who will connect: two readers could disagree on its host."""
    if len(text) > LONGEST_URL or not text.isprintable() or " " in text or "\\" in text:
        raise BadTarget("not_a_url")
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, UnicodeError, ValueError, TypeError):
        raise BadTarget("not_a_url") from None
    host = url.raw_host.decode("ascii")
    if url.scheme not in _PORTS:
        raise BadTarget("scheme")
    if url.userinfo or "@" in text.partition("://")[2].partition("/")[0]:
        raise BadTarget("userinfo")
    if url.fragment or text.endswith("#"):
        raise BadTarget("fragment")
    if not host or "%" in host:
        raise BadTarget("host")
    # 127.1, 2130706433, 0x7f.1 and 0177.0.0.1 are spellings of an address, and of nothing else.
    if ":" not in host and _ENDS_IN_A_NUMBER.search(host) and not _is_plain_ipv4(host):
        raise BadTarget("host")
    if url.port is not None and not 0 < url.port < 65536:
        raise BadTarget("port")
    return url


def _is_plain_ipv4(host: str) -> bool:
    try:
        return bool(_DOTTED_QUAD.fullmatch(host)) and str(ip_address(host)) == host
    except ValueError:
        return False
