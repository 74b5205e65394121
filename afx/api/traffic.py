"""What the API did, for its metrics: requests by method and status, and how long they took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
_BOUNDS = (0.005, 0.025, 0.1, 0.5, 2.5)
"""Of the histogram, in seconds."""


class Traffic:
    """Counts requests; a stream of events counts when it ends."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, int]] = Counter()
        self._buckets = [0] * len(_BOUNDS)
        self._seconds = 0.0
        self._count = 0

    def count(self, method: str, status: int, seconds: float) -> None:
        """Note one request; status 0: the client went away first."""
        self._requests[method if method in _METHODS else "other", status] += 1
        self._count += 1
        self._seconds += seconds
        for index, bound in enumerate(_BOUNDS):
            if seconds <= bound:
                self._buckets[index] += 1

    def lines(self) -> Iterator[str]:
        """Yield the metrics in Prometheus's text format."""
        yield "# TYPE afx_api_requests_total counter"
        for (method, status), count in sorted(self._requests.items()):
            yield f'afx_api_requests_total{{method="{method}",status="{status}"}} {count}'
        yield "# TYPE afx_api_request_seconds histogram"
        for bound, count in zip(_BOUNDS, self._buckets, strict=True):
            yield f'afx_api_request_seconds_bucket{{le="{bound}"}} {count}'
        yield f'afx_api_request_seconds_bucket{{le="+Inf"}} {self._count}'
        yield f"afx_api_request_seconds_sum {self._seconds:.6f}"
        yield f"afx_api_request_seconds_count {self._count}"
