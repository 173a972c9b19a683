"""raymill's endpoint beside `mlflow models serve` and Ray Serve's FastAPI application: one network, its weights too.

Each server is what a user of it would start (`served/servers.py`). It runs alone, since an idle Ray takes processor
time as well, and shares the machine with wrk; they take turns, and the medians of the rounds' ratios count. Before one
is measured its answers are held to the network's own, and a failed request ends the benchmark. wrk sends one row at a
time over one connection (p50) and over 32 (requests/s), and batches of 1,000 rows over 4 (rows/s): as JSON, and to
raymill also as it reads batches fastest, an Arrow stream. MLflow's fastest form is the JSON that it gets.

Last, an endpoint gets 50 one-row requests a second, and in turn with it an application that sends bodies back on the
same Serve; requests are timed from when they were due. The median of the ratios of their 99th percentiles counts.

    python benchmarks/serving.py [--rounds 3] [--seconds 5] [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path

import numpy as np
from served.load import JSON, at_rate, require_wrk, wrk
from served.network import ServedNetwork, write
from served.servers import ARROW, Server, arrow_body, running

_ASKED = {
    "requests_per_s_over_mlflow": "at least 3.5",
    "p50_over_mlflow": "at most 0.5",
    "requests_per_s_over_ray_serve": "at least 10",
    "batch_rows_per_s_over_mlflow": "at least 3",
    "json_batch_rows_per_s_over_mlflow": "as JSON too",
    "p99_over_echo": "below 3",
}
_FIGURES = {
    "p50_ms": "p50 ms, 1 connection",
    "requests_per_s": "requests/s, 32",
    "rows_per_s": "rows/s, JSON",
    "arrow_rows_per_s": "rows/s, Arrow",
}
_BATCH_ROWS, _BATCH_CONNECTIONS, _CONNECTIONS = 1_000, 4, 32
_DIFFERENT_ROWS = 100
_WARM_S = 2
_RATE, _RATE_RUNS, _RATE_S = 50, 5, 20
Found = dict[str, dict[str, list[float]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5, help="of each load by wrk")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    require_wrk()
    with tempfile.TemporaryDirectory(prefix="raymill-benchmark-") as folder:
        network = write(Path(folder))
        found = _measure(network, arguments.rounds, arguments.seconds)
        p99 = _at_rate(network)
    ratios = _ratios(found, p99)
    if arguments.json:
        print(json.dumps({name: round(ratio, 3) for name, ratio in ratios.items()} | _medians(found)))
    else:
        _tell(found, p99, ratios)


def _measure(network: ServedNetwork, rounds: int, seconds: int) -> Found:
    """By server and figure, a value per round."""
    found: Found = {name: {} for name in ("raymill", "mlflow", "ray")}
    for _ in range(rounds):
        for name, figures in found.items():
            with running(name, network) as server:
                for figure, value in _figures(server, network, seconds).items():
                    figures.setdefault(figure, []).append(value)
    return found


def _figures(server: Server, network: ServedNetwork, seconds: int) -> dict[str, float]:
    one = _one_row_each(server, network)
    rows = [network.rows[index % len(network.rows)] for index in range(_BATCH_ROWS)]
    wrk(server.url, one, connections=_CONNECTIONS, seconds=_WARM_S)
    alone = wrk(server.url, one, connections=1, seconds=seconds)
    many = wrk(server.url, one, connections=_CONNECTIONS, seconds=seconds)
    found = {
        "p50_ms": 1000 * alone.p50_s,
        "requests_per_s": many.requests_per_s,
        "rows_per_s": _batch_rows_per_s(server.url, server.body(rows), JSON, seconds),
    }
    if server.kind.takes_arrow:
        found["arrow_rows_per_s"] = _batch_rows_per_s(server.url, arrow_body(rows), ARROW, seconds)
    return found


def _batch_rows_per_s(url: str, body: bytes, form: str, seconds: int) -> float:
    wrk(url, [body], connections=_BATCH_CONNECTIONS, seconds=_WARM_S, form=form)
    load = wrk(url, [body], connections=_BATCH_CONNECTIONS, seconds=seconds, form=form)
    return _BATCH_ROWS * load.requests_per_s


def _one_row_each(server: Server, network: ServedNetwork) -> list[bytes]:
    return [server.body([row]) for row in network.rows[:_DIFFERENT_ROWS]]


def _at_rate(network: ServedNetwork) -> dict[str, list[float]]:
    """The 99th percentiles in milliseconds, a value per run."""
    p99: dict[str, list[float]] = {"raymill": [], "echo": []}
    with running("raymill", network, echo=True) as server:
        bodies = _one_row_each(server, network)
        urls = {"raymill": server.url, "echo": server.echo_url}
        for url in urls.values():
            at_rate(url, bodies, per_s=_RATE, seconds=_WARM_S)
        for _ in range(_RATE_RUNS):
            for name, url in urls.items():
                taken_s = at_rate(url, bodies, per_s=_RATE, seconds=_RATE_S)
                p99[name].append(1000 * float(np.percentile(taken_s, 99)))
    return p99


def _ratios(found: Found, p99: dict[str, list[float]]) -> dict[str, float]:
    ours = found["raymill"]

    def over(peer: str, figure: str, of_peer: str = "") -> float:
        return _median_ratio(ours[figure], found[peer][of_peer or figure])

    return {
        "requests_per_s_over_mlflow": over("mlflow", "requests_per_s"),
        "p50_over_mlflow": over("mlflow", "p50_ms"),
        "requests_per_s_over_ray_serve": over("ray", "requests_per_s"),
        "batch_rows_per_s_over_mlflow": over("mlflow", "arrow_rows_per_s", "rows_per_s"),
        "json_batch_rows_per_s_over_mlflow": over("mlflow", "rows_per_s"),
        "p99_over_echo": _median_ratio(p99["raymill"], p99["echo"]),
    }


def _median_ratio(ours: list[float], theirs: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def _medians(found: Found) -> dict[str, dict[str, float]]:
    return {
        name: {figure: round(statistics.median(values), 3) for figure, values in figures.items()}
        for name, figures in found.items()
    }


def _tell(found: Found, p99: dict[str, list[float]], ratios: dict[str, float]) -> None:
    print(" " * 10 + "".join(f"{title:>22}" for title in _FIGURES.values()))
    for name, figures in _medians(found).items():
        print(f"{name:10}" + "".join(f"{_cell(figure, figures):>22}" for figure in _FIGURES))
    for name, values in p99.items():
        print(f"p99 at {_RATE}/s, {name:8}" + " ".join(f"{value:6.2f}" for value in values) + " ms")
    for name, ratio in ratios.items():
        print(f"{name:34} {ratio:6.2f}   asked: {_ASKED[name]}")


def _cell(figure: str, figures: dict[str, float]) -> str:
    if figure not in figures:
        return ""
    return f"{figures[figure]:,.{2 if figure == 'p50_ms' else 0}f}"


if __name__ == "__main__":
    main()
