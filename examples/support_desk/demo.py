"""The whole circle on one small support desk: train, prove, serve together, correct, refuse poison. Nothing is canned.

`make demo` runs it; `make demo DATA=my.csv` puts an expert on your own file beside the four.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx
from rich.console import Console
from rich.table import Table

import chiliad
from chiliad.data import Example
from chiliad.engine import SamplingParams
from chiliad.evals import EvalOptions, make_judge
from chiliad.workspace import Expert, TrainOptions, Workspace

HERE = Path(__file__).parent
FILES = {
    "triage": ("triage.csv", "Sort this message to a coffee shop by intent."),
    "orders": ("orders.jsonl", "Give the order details in this message as JSON."),
    "redact": ("redact.csv", "Replace personal data in this message by placeholders."),
    "tone": ("tone.csv", "Rewrite this draft as a friendly reply."),
}
ASKED_PER_EXPERT = 8
MINUTE_PRICE = 0.05 / 60
"""US dollars a minute: what a rented two-core machine costs at 5 cents an hour, which is dearer than most"""

T = TypeVar("T")
console = Console(highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class Asked:
    """One test row, with the expert that is meant to answer it."""

    expert: Expert
    example: Example


def main() -> None:
    options = _arguments()
    started = time.perf_counter()
    _clear(options.workspace)
    with chiliad.open(options.workspace) as workspace:
        experts = train_all(workspace, options.data)
        mixed_batch(workspace, experts)
        corrections(workspace)
        poison(workspace)
        summary(workspace, experts, time.perf_counter() - started)
        offer(workspace, wait=sys.stdin.isatty() and sys.stdout.isatty())


def _clear(folder: Path) -> None:
    """Remove what an earlier demo left, and nothing else."""
    if folder.exists() and not (folder / "chiliad.db").is_file() and any(folder.iterdir()):
        sys.exit(f"{folder} is not a workspace of an earlier demo: name another folder with --workspace.")
    shutil.rmtree(folder, ignore_errors=True)


def train_all(workspace: Workspace, data: Path | None) -> list[Expert]:
    """Four experts from four small tables (and one from the user's), each evaluated beside its baselines."""
    files = {name: (HERE / file, instruction) for name, (file, instruction) in FILES.items()}
    if data is not None:
        files["my-" + (re.sub(r"[^a-z0-9]+", "-", data.stem.lower()).strip("-") or "data")] = (data, "")
    experts = []
    for name, (file, instruction) in files.items():
        console.rule(f"[bold]{name}[/] from {file.name}")
        workspace.rest()  # the evaluation before this one has read long prompts
        expert = workspace.train(name, file, instruction=instruction or None, options=QUICK)
        assert expert.card is not None, "training with baselines writes a card"
        console.print(expert.card.verdict.line)
        experts.append(expert)
    return experts


def mixed_batch(workspace: Workspace, experts: Sequence[Expert]) -> None:
    """Requests for all experts in one batch, the same ones one by one, and the control with the adapters shuffled."""
    console.rule("[bold]one batch for all of them")
    asked = [
        Asked(expert, example)
        for row in range(ASKED_PER_EXPERT)
        for expert in experts
        for example in workspace.own_dataset(expert).test[row : row + 1]
    ]
    together, together_s = _timed(lambda: _answers(asked, [one.expert for one in asked]))
    alone, alone_s = _timed(lambda: [_answers([one], [one.expert])[0] for one in asked])
    rotated = [experts[(experts.index(one.expert) + 1) % len(experts)] for one in asked]
    shuffled = _answers(asked, rotated)
    same = sum(a == b for a, b in zip(together, alone, strict=True))
    console.print(
        f"{len(asked)} requests for {len(experts)} experts: {together_s:.1f} s in one batch, {alone_s:.1f} s one by one; "
        f"{same} of {len(asked)} answers the same."
    )
    right, wrong = _score(workspace, asked, together), _score(workspace, asked, shuffled)
    console.print(f"Score {right:.2f}; with the adapters shuffled (control) {wrong:.2f}.")
    _require(wrong < right, "the control failed: shuffled adapters answered as well as the right ones")


def corrections(workspace: Workspace) -> None:
    """Twenty corrections: a new kind of message, which the policy sends to account_help."""
    console.rule("[bold]20 corrections to triage")
    unseen = workspace.examples(HERE / "corrections_unseen.csv")
    before = workspace.score(workspace.expert("triage"), unseen)
    workspace.rest()
    expert = workspace.correct("triage", HERE / "corrections.csv", options=WITHOUT_BASELINES)
    after = workspace.score(expert, unseen)
    console.print(f"Unseen cases of that kind: {before:.0%} right before, {after:.0%} after.")
    _tell_gate(expert)
    _require(after > before and expert.refusal is None, "the corrections did not make a better version")


def poison(workspace: Workspace) -> None:
    """Twenty careless corrections, all Indonesian orders emptied: the gate has to refuse what comes of them."""
    console.rule("[bold]20 poisoned corrections to orders")
    workspace.rest()
    expert = workspace.correct("orders", HERE / "orders_poisoned.jsonl", options=WITHOUT_BASELINES)
    _tell_gate(expert)
    console.print(f"orders still answers as {workspace.expert('orders').ref}.")
    _require(expert.refusal is not None, "the gate let poisoned corrections go live")


def summary(workspace: Workspace, experts: Sequence[Expert], seconds: float) -> None:
    """One table over everything."""
    table = Table(title=f"What came of it, after {seconds / 60:.1f} minutes")
    for column in ("expert", "score", "best baseline", "few-shot base", "training", "file", "1,000 answers"):
        table.add_column(column, justify="left" if column == "expert" else "right")
    for expert in experts:
        card = expert.card
        assert card is not None, "training with baselines writes a card"
        few_shot = next((row.score for row in card.baselines if row.name == "few_shot"), None)
        answers_minutes = card.cost.seconds_per_answer * 1000 / 60
        table.add_row(
            str(expert.ref),
            f"{card.expert.score:.2f}",
            f"{card.best_row.score:.2f} {card.best_row.title}",
            "" if few_shot is None else f"{few_shot:.2f}",
            f"{expert.version.training['seconds']:.0f} s",
            f"{card.subject.adapter_bytes / 1e6:.1f} MB",
            f"{answers_minutes:.1f} min, ${answers_minutes * MINUTE_PRICE:.4f}",
        )
    console.print(table)
    console.print(
        f"Money: machine time at ${MINUTE_PRICE * 60:.2f} an hour, busy; an idle machine costs the same hour."
    )
    console.print(f"Cards: {workspace.folder / 'experts'}/*/*/card.html")


def offer(workspace: Workspace, *, wait: bool) -> None:
    """Start `chiliad serve` and ask it once over HTTP; at a terminal it stays until Ctrl-C."""
    command = [sys.executable, "-m", "chiliad", "serve", "-w", str(workspace.folder), "--port", str(_free_port())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            address = re.search(r"http://[0-9.]+:[0-9]+", server.stdout.readline())
            if address is None:
                sys.exit("The server did not start; `chiliad doctor` says what is wrong.")
            question = "My grinder arrived with a cracked lid, what now?"
            console.print(f"\ntriage, over HTTP: {question} -> [bold]{_ask_over_http(address[0], question)}[/]")
            console.print(f"[bold]Open {address[0]}[/] to try them; OpenAI clients: {address[0]}/v1")
            if wait:
                console.print("Ctrl-C stops.")
                server.wait()
        except KeyboardInterrupt:
            pass
        finally:
            server.terminate()
    if not wait:
        console.print(f"(Not at a terminal, so it has stopped again. chiliad serve -w {workspace.folder} starts it.)")


def _free_port() -> int:
    """8321 if it is free, else any other."""
    for port in (8321, 0):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)) as listener:
            return int(listener.getsockname()[1])
    sys.exit("No port is free on this machine.")


def _ask_over_http(address: str, question: str) -> str:
    body = {"model": "triage", "messages": [{"role": "user", "content": question}]}
    reply = httpx.post(f"{address}/v1/chat/completions", json=body, timeout=60).raise_for_status()
    return str(reply.json()["choices"][0]["message"]["content"])


QUICK = TrainOptions(epochs=4, evaluation=EvalOptions(base_rows_max=30))
WITHOUT_BASELINES = TrainOptions(baselines=False)


def _answers(asked: Sequence[Asked], experts: Sequence[Expert]) -> list[str]:
    requests = [
        expert.request(one.example.input, SamplingParams(max_tokens=80))
        for one, expert in zip(asked, experts, strict=True)
    ]
    return [done.text for done in experts[0].served.engine.generate(requests)]


def _score(workspace: Workspace, asked: Sequence[Asked], answers: Sequence[str]) -> float:
    """Mean over the experts' own metrics."""
    scores = []
    for one, answer in zip(asked, answers, strict=True):
        judge = make_judge(workspace.own_dataset(one.expert).kind, None)
        scores.append(judge([answer], [one.example]).value)
    return sum(scores) / len(scores)


def _require(held: bool, otherwise: str) -> None:
    """The demo claims what it shows: it ends as a failure when that does not hold."""
    if not held:
        sys.exit(f"The demo failed: {otherwise}.")


def _tell_gate(expert: Expert) -> None:
    console.print(f"Old test rows, new against live: {expert.comparison}")
    if expert.refusal:
        console.print(f"[bold]The gate refused it:[/] {expert.refusal.cause}")
    else:
        console.print(f"[bold]{expert.ref} is live.[/]")


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    started = time.perf_counter()
    return work(), time.perf_counter() - started


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="your own table of examples")
    parser.add_argument("--workspace", type=Path, default=Path("demo-ws"), help="made anew at every run")
    return parser.parse_args()


if __name__ == "__main__":
    main()
