"""Does the server grow? Its memory over 100,000 reviews, and over 1,000 reloads under load."""

import statistics
import threading
import time

from rig import KIB, ROLE, Server

REVIEWS = 100_000
RELOADS = 1_000
CONNECTIONS = 64
# Beside the reloads: enough that each meets reviews under way.
RELOAD_CONNECTIONS = 8
# One load after the other until there are enough reviews.
LOAD_SECONDS = 3
EFFECT_SECONDS = 10
TRIES_SECONDS = 0.002


def reviews(generators, server: Server) -> float:
    """MiB by which the server is larger after so many reviews than after the first load."""
    done = generators.http1(server, CONNECTIONS, LOAD_SECONDS).reviews
    first = server.used().resident
    while done < REVIEWS:
        done += generators.http1(server, CONNECTIONS, LOAD_SECONDS).reviews
    last = server.used().resident
    print(f"\n{done:,} reviews: {first / KIB:.1f} MiB resident after the first load, {last / KIB:.1f} MiB after the last")
    return (last - first) / KIB


def reloads(generators, server: Server) -> tuple[float, float]:
    """Each by one rename of another file, and its effect awaited, while reviews go on: the median and the longest time
    from rename to effect, in seconds."""
    generators.http1(server, RELOAD_CONNECTIONS, 1)
    first, stop, faults = server.used().resident, threading.Event(), []

    def load() -> None:
        try:
            while not stop.is_set():
                generators.http1(server, RELOAD_CONNECTIONS, LOAD_SECONDS)
        except RuntimeError as fault:
            faults.append(fault)

    beside = threading.Thread(target=load)
    beside.start()
    times = []
    try:
        for number in range(RELOADS):
            seen = server.reloads()
            server.map([{"roleARN": ROLE, "username": f"name-{number % 2}", "groups": ["developers"]}])
            began = time.perf_counter()
            while server.reloads() == seen:
                if time.perf_counter() > began + EFFECT_SECONDS:
                    raise RuntimeError("a change took no effect")
                time.sleep(TRIES_SECONDS)
            times.append(time.perf_counter() - began)
    finally:
        stop.set()
        beside.join()
    if faults:
        raise faults[0]
    last = server.used().resident
    print(f"{RELOADS:,} reloads under load, no review failed: {first / KIB:.1f} MiB resident before, {last / KIB:.1f} MiB after; "
          f"rename to effect {statistics.median(times) * 1e3:.0f} ms, at most {max(times) * 1e3:.0f} ms")
    return statistics.median(times), max(times)
