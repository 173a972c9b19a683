"""The memory of an endpoint's replica and of HAProxy under a mix of requests, as fast as it answers them.

The endpoint is what `raymill deploy` leaves (`served/raymill_app.py`), with tokens, feedback and a log of all
requests; the mix is that of `served/mix.py`. The heaps of both processes (`process_tree.py`) are read every few
seconds. A growth is the median of the last minute over that of the third, by when caches and pools are full; where one
is above 5%, or an answer was the endpoint's fault, the exit code is 1.

    python benchmarks/endpoint_memory.py [--minutes 10] [--clients 4] [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from process_tree import heap
from served.mix import Clients, Mix
from served.network import ServedNetwork, write
from served.servers import Server, running

from raymill.bearer_token import line_of, new_token

_MOST_GROWTH = 1.05
_EVERY_S, _MINUTE_S = 2.0, 60.0
_WATCHED = {"replica": "ray::ServeReplica:breast-cancer", "haproxy": "haproxy"}
_SERVE = "serve: {{tokens: {{file: {tokens}}}, log: {{sample: 1.0, every_s: 5}}}}\n"
Samples = dict[str, list[tuple[float, int]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=int, default=10, help="4 or more")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.minutes < 4:
        parser.error("the last minute must come after the third")
    with tempfile.TemporaryDirectory(prefix="raymill-benchmark-") as folder:
        network, token = write(Path(folder)), new_token()
        _guard(network, token)
        with running("raymill", network, token=token) as server, _clients(server, network, token, arguments) as clients:
            samples = _watch(arguments.minutes * _MINUTE_S)
    growth = {name: _growth(seen, arguments.minutes) for name, seen in samples.items()}
    failed = {f"{kind}: {status}": n for (kind, status), n in clients.counts.items() if status >= 500}
    _tell(samples, growth, clients, failed, as_json=arguments.json)
    sys.exit(bool(failed) or max(growth.values()) > _MOST_GROWTH)


def _guard(network: ServedNetwork, token: str) -> None:
    tokens = network.folder / "tokens"
    tokens.write_text(line_of("benchmark", token) + "\n")
    network.spec.write_text(network.spec.read_text() + _SERVE.format(tokens=tokens))


def _clients(server: Server, network: ServedNetwork, token: str, arguments: argparse.Namespace) -> Clients:
    parts = urlsplit(server.origin)
    mix = Mix(parts.netloc, "breast-cancer", token, network.rows, "benign")
    return Clients((str(parts.hostname), int(parts.port or 0)), mix, arguments.clients)


def _watch(seconds: float) -> Samples:
    """The seconds since the start and the bytes of each process, until the time is over."""
    samples: Samples = {name: [] for name in _WATCHED}
    start_s = time.monotonic()
    while (at_s := time.monotonic() - start_s) < seconds:
        for name, process in _processes():
            samples[name].append((at_s, heap(process.pid)))
        time.sleep(_EVERY_S)
    return samples


def _processes() -> Iterator[tuple[str, psutil.Process]]:
    """The youngest of each name: an HAProxy that has given way to another one goes on for a while."""
    children = sorted(psutil.Process().children(recursive=True), key=psutil.Process.create_time, reverse=True)
    for name, prefix in _WATCHED.items():
        yield name, next(each for each in children if each.name().startswith(prefix))


def _growth(seen: list[tuple[float, int]], minutes: int) -> float:
    return _median(seen, minutes) / _median(seen, 3)


def _median(seen: list[tuple[float, int]], minute: int) -> float:
    """Of the minute of that number, from 1."""
    return statistics.median(size for at_s, size in seen if minute - 1 <= at_s / _MINUTE_S < minute)


def _tell(samples: Samples, growth: dict[str, float], clients: Clients, failed: dict[str, int], as_json: bool) -> None:
    requests = sum(clients.counts.values())
    if as_json:
        found = {f"{name}_growth": round(ratio, 4) for name, ratio in growth.items()}
        print(json.dumps(found | {"requests": requests, "failed": failed}))
        return
    print(f"{requests:,} requests, {failed or 'none'} of them failed by our fault")
    for (kind, status), count in sorted(clients.counts.items()):
        print(f"{kind:24} {status or 'no answer read':>14} {count:10,}")
    for name, seen in samples.items():
        minutes = range(1, int(seen[-1][0] // _MINUTE_S) + 2)
        print(f"{name:8} MB by minute " + " ".join(f"{_median(seen, minute) / 1e6:6.1f}" for minute in minutes))
        print(f"{name:8} growth {growth[name]:.3f}   asked: at most {_MOST_GROWTH}")


if __name__ == "__main__":
    main()
