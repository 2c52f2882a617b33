"""How many retries may be made: a share of the requests."""

from __future__ import annotations


class Tally:
    """Two counts over the last `seconds`, kept in a fixed number of buckets."""

    __slots__ = ("_buckets", "_current", "_first", "_second", "_width", "first", "second")

    def __init__(self, seconds: float, buckets: int = 10) -> None:
        self._buckets = buckets
        self._width = seconds / buckets
        self.clear()

    def clear(self) -> None:
        self.first = self.second = 0
        self._first = [0] * self._buckets
        self._second = [0] * self._buckets
        self._current = 0

    def add(self, now: float, first: int = 0, second: int = 0) -> None:
        self.roll(now)
        index = self._current % self._buckets
        self._first[index] += first
        self._second[index] += second
        self.first += first
        self.second += second

    def roll(self, now: float) -> None:
        """Forget what is older than the span. A time that runs backwards counts as the current bucket."""
        bucket = int(now / self._width)
        if bucket <= self._current:
            return
        if bucket - self._current >= self._buckets:
            self.clear()
        else:
            for passed in range(self._current + 1, bucket + 1):
                index = passed % self._buckets
                self.first -= self._first[index]
                self.second -= self._second[index]
                self._first[index] = self._second[index] = 0
        self._current = bucket


class RetryBudget:
    """Every request earns a share of a retry, and every retry costs one.

    So there are never more than `share` retries a request, and `start` more, whatever each request would like. What is
    earned is kept, up to a minute's worth or `least_kept`, for the moment when all calls in progress fail together.
    """

    def __init__(self, share: float = 0.5, start: float = 10.0, least_kept: float = 50.0) -> None:
        self._share = share
        self._least_kept = least_kept
        self._earned = start
        self._minute = Tally(60.0)

    def request(self, now: float) -> None:
        """A request came in."""
        self._minute.add(now, first=1)
        most = max(self._least_kept, self._share * self._minute.first)
        self._earned = min(self._earned + self._share, most)

    def allows(self) -> bool:
        """Say whether one more retry is earned."""
        return self._earned >= 1

    def retry(self) -> None:
        """A retry is made."""
        self._earned -= 1
