"""The explanation of a job: in about ten lines, what it did, why it ended so, and what to type next.

It knows a job's record and its workers' last words, neither stores nor clusters.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from raymill.job_record import EMBEDDED, INTERRUPTED, LOST, RUNNING, SUCCEEDED, JobRecord
from raymill.last_words import LastWords

_METRICS = 4
_FOLLOWING = {"prepare": "train", "train": "evaluate", "evaluate": "promote", "promote": "deploy"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One job: its record as it reads `now`, the line it said last, what a failed worker said.

    `metric` is the one that the gate compares; `spec` is what was typed for it.
    """

    record: JobRecord
    now: datetime
    last_line: str
    worker: LastWords | None
    metric: str
    spec: str
    on: str | None = None

    def lines(self) -> Iterator[str]:
        record = self.record
        yield _line("job", record.id)
        yield _line("command", f"raymill {record.words}, {self._where()}")
        yield _line("state", self._state())
        if record.runs:
            yield _line("run", ", ".join(record.runs))
        yield from self._result() if record.state == SUCCEEDED else self._cause()
        yield from self._events()
        if self.worker is not None and record.state != SUCCEEDED:
            yield _line("worker", f"{self.worker.process} said last:")
            yield from (_line("", line) for line in self.worker.lines)
        yield _line("next", self._next())

    def to_json(self) -> dict[str, Any]:
        worker = asdict(self.worker) if self.worker is not None else None
        return asdict(self.record) | {"last_line": self.last_line, "worker": worker, "next": self._next()}

    def _where(self) -> str:
        record = self.record
        return f"on {record.host}" if record.where == EMBEDDED else f"on the cluster {record.where}"

    def _state(self) -> str:
        record = self.record
        end = datetime.fromisoformat(record.ended) if record.ended else self.now
        lasted = _duration((end - datetime.fromisoformat(record.started)).total_seconds())
        if record.state == RUNNING:
            return f"running for {lasted}, since {record.started}; said last: {self.last_line}"
        if record.ended is None:
            return f"{record.state}; started {record.started}, last sign of life {record.alive}"
        code = f" with exit code {record.exit_code}" if record.exit_code else ""
        return f"{record.state}{code} after {lasted}, at {record.ended}"

    def _cause(self) -> Iterator[str]:
        record = self.record
        if record.error is not None:
            yield _line("cause", record.error["what"])
            yield _line("fix", record.error["fix"])
        elif record.state == LOST:
            process = f"Its process {record.pid} on {record.host}" if record.pid else "It"
            why = "it, or its node, was killed, or it could no longer write to this store"
            yield _line("cause", f"{process} has shown no life since {record.alive}: {why}.")
            yield _line("said last", self.last_line)

    def _events(self) -> Iterator[str]:
        """For each kind of event how often it was, and the last."""
        kinds = dict.fromkeys(event["kind"] for event in self.record.events)
        for kind in kinds:
            of_kind = [event for event in self.record.events if event["kind"] == kind]
            times = "once" if len(of_kind) == 1 else f"{len(of_kind)} times, the last"
            yield _line(kind, f"{times} at {of_kind[-1]['at']}: {of_kind[-1]['text']}")

    def _result(self) -> Iterator[str]:
        report = self.record.report or {}
        places = (
            ("result", (report.get("model") or {}).get("uri") or report.get("output")),
            ("result", (report.get("dataset") or {}).get("uri") if "model" not in report else None),
            ("metrics", self._metrics(report.get("metrics") or {})),
            ("gate", _gate(report.get("gate") or {})),
            ("endpoint", report.get("endpoint")),
        )
        yield from (_line(label, value) for label, value in places if value)

    def _metrics(self, metrics: Mapping[str, Mapping[str, float | None]]) -> str:
        split = "test" if "test" in metrics else "validation"
        values = metrics.get(split) or {}
        names = sorted(values, key=lambda name: name != self.metric)[:_METRICS]
        shown = (f"{name} {'undefined' if (value := values[name]) is None else f'{value:.4f}'}" for name in names)
        return f"{split} {', '.join(shown)}" if values else ""

    def _next(self) -> str:
        record = self.record
        on = "" if record.where == EMBEDDED else f" --on {self.on or 'ADDRESS'}"
        if record.state == RUNNING:
            return f"raymill logs -f {self.spec}{f' --on {self.on}' if self.on else ''}"
        if record.state == SUCCEEDED:
            following = _FOLLOWING.get(record.command)
            if following is None:
                return f"raymill status {self._again()}"
            return f"raymill {following} {self._again()}{on if following != 'deploy' else ''}"
        options = "".join(f" {shlex.quote(word)}" for word in _split(record.words)[1])
        again = f"raymill {record.command} {self._again()}{options}{on}"
        return f"{again}, which continues" if record.state in (INTERRUPTED, LOST) else again

    def _again(self) -> str:
        """The spec as it was typed now, with the overrides that the job was typed with, which make it that job."""
        return shlex.join(dict.fromkeys((*shlex.split(self.spec), *_split(self.record.words)[0])))


def _line(label: str, text: str) -> str:
    return f"{label:9} {text}"


def _split(words: str) -> tuple[list[str], list[str]]:
    """The overrides, and the options, that a command was typed with."""
    typed = shlex.split(words)
    first = next((place for place, word in enumerate(typed) if word.startswith("--")), len(typed))
    return typed[2:first], typed[first:]


def _gate(gate: Mapping[str, Any]) -> str:
    return ": ".join(str(gate[key]) for key in ("decision", "reason") if gate.get(key))


def _duration(seconds: float) -> str:
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
