"""An HTTP client whose every request takes its turn at its site. A room of fetch_pages.

Decisions:
    Every request has a turn in the budget of its site, and a redirect gives it back and waits for one at the site it
    leads to; that wait is not on the request's clock. Nothing holds two turns, so nothing can wait in a circle.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Optional

from apache_beam.utils.timestamp import Timestamp

from transforms.article_url import site_of
from transforms.errors import RejectedError, TransientError, mask_url
from transforms.http import HttpClient, Response
from transforms.pace_hosts import HostBudget, origin_of
from transforms.poll_feeds import error_of_status

_SILENCE = frozenset({"timeout", "connect_failed", "connection_reset"})

Spawn = Callable[[Coroutine[Any, Any, None]], None]


@dataclass
class Turn:
    """A place in the budget of `site`; None when it has been given back."""

    site: Optional[str]


class PoliteClient:
    """An HTTP client whose every request, redirects included, waits for its turn.

    Args:
        client: sends.
        budget: gives the turns.
        now: the time of day, for a Retry-After that is a date.
        spawn: runs a coroutine as a task of the loop; `when_due` needs it.
    """

    def __init__(
        self, client: HttpClient, budget: HostBudget, *, now: Callable[[], Timestamp], spawn: Optional[Spawn] = None
    ) -> None:
        self._client, self._budget, self._spawn, self.now = client, budget, spawn, now

    def when_due(
        self, url: str, work: Callable[[Turn], Coroutine[Any, Any, None]], refused: Callable[[Exception], None]
    ) -> None:
        """Run `work` with a turn at the site of `url` when there is one; `work` must end in `fetch` or `release`.

        `refused` is called instead with bad_url (no http address) or host_asked_to_wait.
        """
        spawn, site = self._spawn, site_of(url)
        assert spawn is not None
        if not site:
            refused(RejectedError(f"{mask_url(url)}: is not an http address", reason="bad_url", url=url))
            return
        self._budget.submit(
            site,
            lambda: spawn(work(Turn(site))),
            lambda seconds: refused(self._not_now(url, seconds)),
            host=origin_of(url),
        )

    async def fetch(
        self,
        turn: Turn,
        url: str,
        *,
        check_hop: Optional[Callable[[str], Awaitable[None]]] = None,
        **options: Any,
    ) -> Response:
        """Return what `HttpClient.fetch` does, and give the turn back in any case.

        Args:
            turn: at the site of `url`.
            url: as for `HttpClient.fetch`.
            check_hop: awaited with the target of each redirect or repetition, while no turn is held; may raise.
            **options: as for `HttpClient.fetch`.
        """

        async def move(target: str) -> None:
            self.release(turn)
            if check_hop is not None:
                await check_hop(target)
            await self.enter(turn, target)
            self._budget.begin(turn.site)

        try:
            self._budget.begin(turn.site)
            response = await self._client.fetch(url, before_hop=move, **options)
        except TransientError as error:
            if error.reason in _SILENCE and error.url and turn.site is not None:
                self._budget.silent(turn.site, origin_of(error.url))
            raise
        else:
            self._budget.answered(origin_of(response.url))
            self._heed(response)
            return response
        finally:
            self.release(turn)

    async def get(self, url: str, **options: Any) -> Response:
        """Wait for a turn at the site of `url`, then do as `fetch`: for what continues work that has begun."""
        if not site_of(url):
            raise RejectedError(f"{mask_url(url)}: is not an http address", reason="bad_url", url=url)
        turn = Turn(None)
        await self.enter(turn, url)
        return await self.fetch(turn, url, **options)

    def release(self, turn: Turn) -> None:
        """Give the turn back, if it is held."""
        if turn.site is not None:
            site, turn.site = turn.site, None
            self._budget.release(site)

    def slow_down(self, url: str, spacing_seconds: float) -> None:
        """Space the requests to the site of `url` by at least this."""
        self._budget.slow_down(site_of(url), spacing_seconds)

    async def enter(self, turn: Turn, target: str) -> None:
        """Wait for a turn at the site of `target`, before work that has not begun; `turn` must have been given back.

        Raises:
            TransientError: host_asked_to_wait.
        """
        site = site_of(target)
        begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def begin() -> None:
            if begun.done():  # cancelled while it waited
                self._budget.release(site)
            else:
                turn.site = site
                begun.set_result(None)

        def refuse(seconds: float) -> None:
            if not begun.done():
                begun.set_exception(self._not_now(target, seconds))

        self._budget.submit(site, begin, refuse, first=True, host=origin_of(target))
        await begun

    def _not_now(self, url: str, seconds: float) -> TransientError:
        if not self._budget.is_silent(origin_of(url)):
            return _asked_to_wait(url, seconds)
        return TransientError(
            f"{mask_url(url)}: its host gave no answer several times; it is left alone for {seconds:.0f} seconds",
            reason="host_silent",
            url=url,
            retry_after_seconds=seconds,
        )

    def _heed(self, response: Response) -> None:
        """Hold the site of an answer that asks for it; before the turn is given back, or the next would start."""
        if response.status in (429, 503):
            wait = getattr(error_of_status(response, self.now()), "retry_after_seconds", None)
            if wait is not None or response.status == 429:
                self._budget.hold(site_of(response.url), wait)


def _asked_to_wait(url: str, seconds: float) -> TransientError:
    return TransientError(
        f"{mask_url(url)}: its site asked to be left alone for {seconds:.0f} seconds",
        reason="host_asked_to_wait",
        url=url,
        retry_after_seconds=seconds,
    )
