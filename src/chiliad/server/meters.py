"""What a server has done since it started, for Prometheus. Sums over all callers: who asked what is in the ledger."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from chiliad.store import Entry

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Meters:
    """Those of one server; several in one process do not add up."""

    def __init__(self, running: Callable[[], int]) -> None:
        """`running` tells how many requests are being answered at the moment."""
        self._registry = CollectorRegistry()
        self._requests = self._counter("requests", "Requests for answers that were begun.")
        self._refused = self._counter("refused", "Requests for answers that were turned away.", "code")
        self._answers = self._counter("answers", "Answers that came to their end.")
        self._tokens = self._counter("tokens", "Tokens of prompts (of these, cached) and answers.", "kind")
        self._machine_s = self._counter("machine_seconds", "The share of the machine's time that answers took.")
        self._cost = self._counter("cost", "What answers cost, in the workspace's currency.")
        self._wait_s = Histogram(
            "chiliad_request_seconds",
            "From a request's admission to its last token.",
            buckets=SECONDS,
            registry=self._registry,
        )
        under_way = Gauge("chiliad_requests_running", "Requests being answered now.", registry=self._registry)
        under_way.set_function(running)
        ProcessCollector(registry=self._registry)

    def note(self, entry: Entry) -> None:
        """A request has ended."""
        self._requests.inc()
        self._answers.inc(entry.answers)
        self._tokens.labels("prompt").inc(entry.prompt_tokens)
        self._tokens.labels("cached").inc(entry.cached_tokens)
        self._tokens.labels("answer").inc(entry.answer_tokens)
        self._machine_s.inc(entry.machine_s)
        self._cost.inc(entry.cost)
        self._wait_s.observe(entry.wait_s)

    def refuse(self, code: str) -> None:
        """A request was turned away with this code of an error."""
        self._refused.labels(code).inc()

    def text(self) -> bytes:
        return generate_latest(self._registry)

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(f"chiliad_{name}", what, labels, registry=self._registry)
