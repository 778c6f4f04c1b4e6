"""The rate of requests, shared by all workers."""

import asyncio
import time
from collections.abc import Callable


class RateLimit:
    """A token bucket: at most ``per_second`` requests a second, evenly spaced but for a burst of a fiftieth of that.

    The generic cell rate algorithm (ITU-T I.371), whose only state is the next free moment. Workers reserve moments in
    the order of their calls, so that a late worker does not slow the others down.
    """

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic):
        self._interval = 1 / per_second
        self._slack = max(0.0, per_second / 50 - 1) * self._interval
        self._clock = clock
        self._next = self._paused_until = 0.0

    async def wait(self) -> None:
        """Sleep until the caller may send one request."""
        while True:
            now = self._clock()
            moment = max(self._next, now - self._slack)
            self._next = moment + self._interval
            if moment > now:
                await asyncio.sleep(moment - now)
            if self._clock() >= self._paused_until:
                return

    def pause(self, seconds: float) -> None:
        """Hold all requests back for ``seconds``, including requests that wait already."""
        self._paused_until = max(self._paused_until, self._clock() + seconds)
        self._next = max(self._next, self._paused_until)
