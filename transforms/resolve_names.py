"""Names to the addresses that may be connected to.

Decisions:
    A forbidden answer is named before anything is tried, with what would allow it. This is the first of two checks:
    between it and the connection a name may come to resolve differently, so http.py checks the address again.

    DNS is asked on threads of its own, since the system's resolver blocks.

Limits: how long an answer is kept is the connection pool's business, and an answer's own time to live is not seen.
"""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from transforms.address_rules import AddressRules

DNS_THREADS = 32  # a resolver blocks for many seconds on a dead name server; 6 (the loop's own pool) would stop all


class ForbiddenAddressError(OSError):
    """An OSError, so that aiohttp treats it as an address that cannot be connected to and cleans up after it."""

    def __init__(self, host: str, address: str) -> None:
        super().__init__(f"{address} is not public")
        self.host, self.address = host, address


class CheckedResolver(AbstractResolver):
    """Asks the system's resolver, and gives the addresses that `rules` permit; raises when there are but others."""

    def __init__(self, rules: AddressRules) -> None:
        self._rules = rules
        self._threads = ThreadPoolExecutor(DNS_THREADS, thread_name_prefix="newsbeam-dns")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of `host` that may be connected to; raises `ForbiddenAddressError`, OSError."""
        addresses = self._rules.pinned_addresses(host)
        if not addresses:
            loop = asyncio.get_running_loop()
            infos = await loop.run_in_executor(self._threads, _look_up, host, port, family)
            addresses = list(dict.fromkeys(str(info[4][0]) for info in infos))
            permitted = [address for address in addresses if self._rules.permit(host, address)]
            if addresses and not permitted:
                raise ForbiddenAddressError(host, addresses[0])
            addresses = permitted
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        """Ask nothing any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, port: int, family: int) -> list[tuple[Any, ...]]:
    return socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
