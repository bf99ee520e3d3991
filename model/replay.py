"""Send requests to a model at a steady rate and count what comes back: the small workload of an environment without users.

One connection, one request in the air; a request that is late is sent at once, and those that a slow server made
impossible are skipped, not made up for, so the load never exceeds the rate.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import urllib3

TIMEOUT_SECONDS = 5.0


def replay(
    bodies: Iterator[str],
    *,
    url: str,
    rate: float,
    seconds: float,
    stop: threading.Event,
    clock: Callable[[], float] = time.monotonic,
) -> Counter[str]:
    """Send at `rate` requests/s for `seconds` (0 = until `stop` is set); answers counted by status or "no answer"."""
    counts: Counter[str] = Counter()
    start = due = clock()
    with urllib3.PoolManager(retries=False, timeout=TIMEOUT_SECONDS) as pool:
        for body in bodies:
            if stop.wait(max(0.0, due - clock())) or (seconds and clock() - start >= seconds):
                break
            counts[_send(pool, url, body)] += 1
            due = max(due + 1 / rate, clock() - 1 / rate)
    return counts


def _send(pool: urllib3.PoolManager, url: str, body: str) -> str:
    try:
        return str(pool.request("POST", url, body=body, headers={"Content-Type": "application/json"}).status)
    except urllib3.exceptions.HTTPError:
        return "no answer"
