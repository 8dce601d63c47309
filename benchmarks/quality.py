"""Experts on public data, each beside its baselines: `python benchmarks/quality.py banking77 --json`.

Finds the data in the folder that CHILIAD_DATA names; nothing of it is kept but scores. Everything is chosen on
development rows; the test rows are answered once, by `train`. Results are added to docs/results/quality.json, from which
docs/results/quality.md is made; cards stay in the workspace.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import chiliad
from chiliad.workspace import Expert, TrainOptions
from chiliad.workspace.machine import machine

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "quality.json"
PAGE = RESULTS.with_suffix(".md")
CLINC_DOMAINS = (
    *("auto_and_commute", "banking", "credit_cards", "home", "kitchen_and_dining"),
    *("meta", "small_talk", "travel", "utility", "work"),
)
SPAN_DOMAINS = ("dstc8_Buses_1", "dstc8_Events_1", "dstc8_Homes_1", "dstc8_RentalCars_1", "restaurant8k")

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Task:
    """Rows with `input` and `output`. `test` is None where the set has no split of its own: Chiliad then makes one."""

    instruction: str
    train: Rows
    test: Rows | None


def main() -> None:
    options = _arguments()
    folder = os.environ.get("CHILIAD_DATA")
    if not folder:
        sys.exit("Set CHILIAD_DATA to the folder with the public data sets.")
    task = TASKS[options.task](Path(folder))
    settings = {"threads": options.threads} if options.threads else {}
    workspace = chiliad.open(options.workspace, progress=sys.stderr.isatty(), **settings)
    chosen = TrainOptions(
        rank=options.rank,
        epochs=options.epochs,
        learning_rate=options.learning_rate,
        rslora=options.rslora,
        seed=options.seed,
    )
    expert = workspace.train(
        options.task.replace("_", "-").lower(), task.train, test=task.test, instruction=task.instruction, options=chosen
    )
    result = _result(options.task, expert)
    _keep(result)
    print(json.dumps(result, indent=2) if options.json else result["verdict"])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=sorted(TASKS))
    parser.add_argument("--workspace", default="quality-ws", help="a workspace for the experts and their cards")
    parser.add_argument("--rank", type=int)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--rslora", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _result(task: str, expert: Expert) -> dict[str, Any]:
    card, training = expert.card, expert.version.training
    assert card is not None, "training with baselines writes a card"
    kept = ("rows", "epochs", "best_epoch", "rank", "learning_rate", "tokens", "seconds", "tokens_per_second")
    return {
        "task": task,
        "metric": card.metric,
        "score": round(card.expert.score, 4),
        "interval": [round(card.expert.low, 4), round(card.expert.high, 4)],
        "test_rows": card.expert.rows,
        "other_scores": {name: round(value, 4) for name, value in card.other_scores.items()},
        "baselines": {row.name: [round(row.score, 4), row.rows] for row in card.baselines},
        "best_baseline": card.best,
        "verdict": card.verdict.line,
        "constrained": card.constrained,
        "training": {name: training[name] for name in kept},
        "machine": machine(),
        "date": datetime.now(UTC).date().isoformat(),
        "command": "python " + " ".join(sys.argv),
    }


def _keep(result: dict[str, Any]) -> None:
    """Add a result to the committed file; earlier ones of the same task stay, so that every look at test rows shows."""
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    results = [*known, result]
    results.sort(key=lambda result: str(result["task"]))
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    PAGE.write_text(page(results))


def page(results: Sequence[Mapping[str, Any]]) -> str:
    """The results as a Markdown page."""
    wins = sum(result["verdict"].startswith("This expert wins") for result in results)
    rows = "\n".join(_table_row(result) for result in results)
    return f"""# Experts on public data

One expert of the default base for each row, beside its six baselines. Everything is chosen on development rows, the test
rows are answered once per row of this table, and every run that ever looked at them is here. Prompted baselines are
measured on at most 200 test rows. Brackets: 95 % bootstrap interval. {wins} of {len(results)} experts win against their
best baseline; the others say so on the first line of their cards.

| task | test rows | metric | expert | best baseline | five-shot base | verdict | training |
|---|---|---|---|---|---|---|---|
{rows}

Made from [quality.json](quality.json), which holds all baselines, the settings, the machine, the date and the command of
each run (`CHILIAD_DATA=... python benchmarks/quality.py TASK --json`). Minutes of training are those of the clock on a
machine that did other work beside.
"""


def _table_row(result: Mapping[str, Any]) -> str:
    best, training = result["best_baseline"], result["training"]
    low, high = result["interval"]
    few_shot = result["baselines"].get("few_shot")
    verdict = result["verdict"].split(":")[0].split(" that ")[0].rstrip(".")
    chance = result["verdict"].rpartition("(")[2].rstrip(").")
    cells = (
        result["task"],
        str(result["test_rows"]),
        result["metric"],
        f"{result['score']:.3f} [{low:.3f}, {high:.3f}]",
        f"{result['baselines'][best][0]:.3f} {best}",
        "" if few_shot is None else f"{few_shot[0]:.3f}",
        f"{verdict} ({chance})",
        f"{training['rows']} rows, {training['epochs']} epochs, r={training['rank']}, {training['seconds'] / 60:.0f} min",
    )
    return "| " + " | ".join(cells) + " |"


def _read(path: Path) -> Rows:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _words(label: str) -> str:
    """Labels in words rather than as identifiers: half the tokens, and words that the base knows."""
    return label.replace("_", " ").lower()


def _labelled(rows: Rows) -> Rows:
    return [{"input": row["text"], "output": _words(row["label"])} for row in rows]


def _sample(rows: Rows, count: int) -> Rows:
    """The same `count` rows for ever, chosen by the hash of their content."""
    return sorted(rows, key=lambda row: sha256(json.dumps(row, sort_keys=True).encode()).digest())[:count]


def _banking77(folder: Path) -> Task:
    train, test = (_labelled(_read(folder / "banking77" / f"{part}.jsonl.gz")) for part in ("train", "test"))
    return Task("Name the intent of this message to a bank.", train, test)


def _clinc(domain: str) -> Callable[[Path], Task]:
    def load(folder: Path) -> Task:
        parts = {
            part: [row for row in _read(folder / "clinc150" / f"{part}.jsonl.gz") if row["domain"] == domain]
            for part in ("train", "val", "test")
        }
        return Task(
            "Name the intent of this message.", _labelled(parts["train"] + parts["val"]), _labelled(parts["test"])
        )

    return load


def _spans(domain: str) -> Callable[[Path], Task]:
    def load(folder: Path) -> Task:
        train, test = (
            [{"input": row["text"], "output": row["slots"]} for row in _read(path)]
            for path in (folder / "span_extraction" / f"{domain}.{part}.jsonl.gz" for part in ("train", "test"))
        )
        return Task("Give the slots of this message as JSON.", train, test)

    return load


def _sms_spam(folder: Path) -> Task:
    return Task("Is this message spam or ham?", _labelled(_read(folder / "sms_spam" / "all.jsonl.gz")), None)


def _wikisql(folder: Path) -> Task:
    def rows(part: str, count: int) -> Rows:
        return [
            {"input": f"{row['question']}\nColumns: {', '.join(row['columns_seen'])}", "output": row["sql"]}
            for row in _sample(_read(folder / "wikisql" / f"{part}.jsonl.gz"), count)
        ]

    return Task("Write the SQL query over table t.", rows("train", 10_000), rows("test", 1_000))


def _e2e(folder: Path) -> Task:
    """Trained on the development set, as the training file is not part of the data; one reference per test input."""
    train = [{"input": row["mr"], "output": row["ref"]} for row in _read(folder / "e2e_nlg" / "dev.jsonl.gz")]
    test = {row["mr"]: row["ref"] for row in reversed(_read(folder / "e2e_nlg" / "test.jsonl.gz"))}
    return Task("Describe this place in a sentence.", train, [{"input": mr, "output": ref} for mr, ref in test.items()])


TASKS: dict[str, Callable[[Path], Task]] = {
    "banking77": _banking77,
    **{f"clinc_{domain}": _clinc(domain) for domain in CLINC_DOMAINS},
    **{f"span_{domain}": _spans(domain) for domain in SPAN_DOMAINS},
    "sms_spam": _sms_spam,
    "wikisql": _wikisql,
    "e2e_nlg": _e2e,
}

if __name__ == "__main__":
    main()
