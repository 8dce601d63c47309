"""How often an expert's query gives what the right one gives, with and without help: `python benchmarks/copilot.py --json`.

Finds WikiSQL in the folder that CHILIAD_DATA names. The workspace needs the expert `wikisql`, which
`python benchmarks/quality.py wikisql --epochs 1 --workspace WORKSPACE` trains; the expert `sql` continues from it with
rows in the co-pilot's own form, some of them mistakes to mend, and is trained when it is missing. Nothing of the data
is kept but scores, in docs/results/copilot.json.

A query is right if it gives the same rows as the right one on two differently filled tables, of which the loop sees one.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import wikisql
from mistakes import mistaken

import chiliad
from chiliad.config import CopilotSettings
from chiliad.copilot import Draft, Mistake, complaint, prompt, select_grammar
from chiliad.engine import Grammar, GrammarKind, SamplingParams
from chiliad.errors import QueryError
from chiliad.metrics import bootstrap_interval, paired_test
from chiliad.store import ReadOnlyFile, Result, Table
from chiliad.workspace import Expert, TrainOptions, Workspace
from chiliad.workspace.machine import machine

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "copilot.json"
PARENT, EXPERT = "wikisql", "sql"
FIRST_ROWS, REPAIR_ROWS, TEST_ROWS = 1_200, 600, 40
SECOND_TABLE_SHARE = 0.25
"""of the rows to learn from: there the right table has to be chosen too"""

TRIES_MAX = CopilotSettings().tries_max
ANSWER_TOKENS_MAX = 128

Row = dict[str, str]


@dataclass(frozen=True)
class Case:
    """A question with its tables: seen by the loop, and filled otherwise."""

    table: Table
    question: wikisql.Question
    seen: ReadOnlyFile
    other: ReadOnlyFile

    @property
    def right(self) -> str:
        return self.question.sql(self.table)

    def is_right(self, sql: str) -> float:
        return float(all(_same(_run(file, sql), _run(file, self.right)) for file in (self.seen, self.other)))


def main() -> None:
    options = _arguments()
    folder = os.environ.get("CHILIAD_DATA")
    if not folder:
        sys.exit("Set CHILIAD_DATA to the folder with the public data sets.")
    settings = {"threads": options.threads} if options.threads else {}
    workspace = chiliad.open(options.workspace, progress=sys.stderr.isatty(), **settings)
    expert = _expert(workspace, Path(folder) / "wikisql")
    with TemporaryDirectory() as tables:
        result = _measured(expert, Path(folder) / "wikisql", Path(tables), options.rows)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1) if options.json else _told_of(result))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", default="quality-ws", help="the workspace with the experts")
    parser.add_argument("--rows", type=int, default=500, help="test questions")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _measured(expert: Expert, data: Path, folder: Path, count: int) -> dict[str, Any]:
    asked = wikisql.read(data / "test.jsonl.gz")
    pools = wikisql.Pools(wikisql.read(data / "train.jsonl.gz"))
    cases = _cases(asked, pools, folder / "answered", count, answered=True)
    nothing = _cases(asked, pools, folder / "nothing", count // 5, answered=False)
    arms, kinds = _answered(expert, cases)
    of_nothing, _ = _answered(expert, nothing)
    training = expert.version.training
    return {
        "questions": len(cases),
        "tries_max": TRIES_MAX,
        "execution_accuracy": {name: _score(scores) for name, scores in arms.items()},
        "tests": {f"{a} - {b}": _test(arms[a], arms[b]) for a, b in COMPARED},
        "complaints_about_first_queries": kinds,
        "questions_that_nothing_answers": len(nothing),
        "execution_accuracy_there": {name: _score(scores) for name, scores in of_nothing.items()},
        "training": {name: training[name] for name in ("rows", "epochs", "rank", "learning_rate", "tokens", "seconds")},
        "machine": machine(),
        "date": datetime.now(UTC).date().isoformat(),
        "command": "python " + " ".join(sys.argv),
    }


COMPARED = (("loop", "free"), ("grammar", "free"), ("grammar and loop", "grammar"), ("grammar and loop", "free"))


def _answered(expert: Expert, cases: Sequence[Case]) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Whether the query is right, by kind of help and case; and what was said about the first queries without any."""
    free, guided = _drafts(expert, cases, guided=False), _drafts(expert, cases, guided=True)
    arms = {
        "free": [case.is_right(draft.tries[0].sql) for case, draft in zip(cases, free, strict=True)],
        "loop": [case.is_right(draft.best.sql) for case, draft in zip(cases, free, strict=True)],
        "grammar": [case.is_right(draft.tries[0].sql) for case, draft in zip(cases, guided, strict=True)],
        "grammar and loop": [case.is_right(draft.best.sql) for case, draft in zip(cases, guided, strict=True)],
    }
    return arms, Counter(_kind(draft.tries[0].complaint) for draft in free)


def _drafts(expert: Expert, cases: Sequence[Case], *, guided: bool) -> list[Draft]:
    """All of them to their ends, those under way in one batch."""
    drafts = [Draft(case.seen, [case.table], case.question.text, tries_max=TRIES_MAX) for case in cases]
    grammars = [_grammar(case.table) if guided else None for case in cases]
    while under_way := [(draft, grammar) for draft, grammar in zip(drafts, grammars, strict=True) if not draft.done]:
        answers = _asked(expert, [(draft.prompt, grammar) for draft, grammar in under_way])
        for (draft, _), answer in zip(under_way, answers, strict=True):
            draft.take(answer)
    return drafts


def _asked(expert: Expert, prompts: Sequence[tuple[str, Grammar | None]]) -> list[str]:
    """Greedy answers."""
    served, sampling = expert.served, SamplingParams(max_tokens=ANSWER_TOKENS_MAX)
    served.know(expert.version, expert.folder)
    requests = [
        served.request(
            str(number),
            served.prompt(expert.template, [{"role": "user", "content": text}]),
            sampling,
            adapter=expert.version.adapter_hash,
            grammar=grammar,
        )
        for number, (text, grammar) in enumerate(prompts)
    ]
    done = {completion.request: completion.text for completion in served.engine.generate(requests)}
    return [done[request.id] for request in requests]


def _grammar(table: Table) -> Grammar:
    source = select_grammar([table])
    assert source is not None, "no table of the set has so many columns"
    return Grammar(GrammarKind.LARK, source)


def _cases(
    asked: Sequence[wikisql.Asked], pools: wikisql.Pools, folder: Path, count: int, *, answered: bool
) -> list[Case]:
    """Test questions whose right query gives something; without `answered` those that no row answers, which are others."""
    folder.mkdir()
    cases: list[Case] = []
    for number, (one, question) in enumerate(wikisql.sample(asked, 2 * count, salt=f"answered: {answered}")):
        files = [folder / f"{number}-{seed}.db" for seed in range(2)]
        for seed, path in enumerate(files):
            wikisql.fill(path, one, pools, seed, unanswered=None if answered else question)
        case = Case(one.table, question, *(ReadOnlyFile(path, CopilotSettings()) for path in files))
        if len(cases) < count and (_told(case.seen, case.table, case.right) is None) is answered:
            cases.append(case)
    return cases


def _run(database: ReadOnlyFile, sql: str) -> Result | None:
    try:
        return database.run(sql)
    except QueryError:
        return None


def _same(one: Result | None, other: Result | None) -> bool:
    """The same rows as often, in any order; texts without their case."""
    if one is None or other is None:
        return False
    return _counted(one) == _counted(other)


def _counted(result: Result) -> Counter[tuple[object, ...]]:
    return Counter(
        tuple(
            value.lower() if isinstance(value, str) else round(value, 6) if isinstance(value, float) else value
            for value in row
        )
        for row in result.rows
    )


def _kind(complaint: str | None) -> str:
    """Complaints without the names in them."""
    if complaint is None:
        return "none"
    return next(
        (kind for kind in ("no rows", "no such column", "no such table", "syntax error") if kind in complaint), "other"
    )


def _score(scores: Sequence[float]) -> dict[str, float]:
    interval = bootstrap_interval(scores)
    return {
        "score": round(sum(scores) / len(scores), 4),
        "low": round(interval.low, 4),
        "high": round(interval.high, 4),
    }


def _test(one: Sequence[float], other: Sequence[float]) -> dict[str, float | int | str]:
    return {
        name: round(value, 4) if isinstance(value, float) else value
        for name, value in asdict(paired_test(one, other)).items()
    }


def _told_of(result: dict[str, Any]) -> str:
    lines = [f"{name}: {100 * score['score']:.1f} %" for name, score in result["execution_accuracy"].items()]
    lines += [f"{name}: {100 * test['delta']:+.1f} (p={test['p_value']:.3g})" for name, test in result["tests"].items()]
    return "\n".join(lines)


def _expert(workspace: Workspace, data: Path) -> Expert:
    """The expert that knows the co-pilot's form; trained if it is not there."""
    if any(summary.name == EXPERT for summary in workspace.registry.experts()):
        return workspace.expert(EXPERT)
    train, dev = (wikisql.read(data / f"{part}.jsonl.gz") for part in ("train", "dev"))
    rows = [*_first_rows(train, FIRST_ROWS), *_repair_rows(train, REPAIR_ROWS)]
    assignment = workspace.assign(
        EXPERT,
        rows,
        test=_first_rows(dev, TEST_ROWS),
        input="input",
        output="output",
        instruction="Write the SQL query.",
        options=TrainOptions(epochs=1, learning_rate=1e-3, rows_per_batch=16, baselines=False),
        parent=workspace.expert(PARENT).version,
    )
    return workspace.run(assignment)


def _first_rows(asked: Sequence[wikisql.Asked], count: int) -> list[Row]:
    chance = random.Random(0)
    return [
        {"input": prompt(_beside(one.table, asked, chance), question.text), "output": question.sql(one.table)}
        for one, question in wikisql.sample(asked, count, salt="first")
    ]


def _repair_rows(asked: Sequence[wikisql.Asked], count: int) -> Iterator[Row]:
    """Queries made wrong, with what the database really says to each."""
    chance, pools = random.Random(1), wikisql.Pools(asked)
    with TemporaryDirectory() as folder:
        for number, (one, question) in enumerate(wikisql.sample(asked, count, salt="repair")):
            path = Path(folder) / f"{number}.db"
            wikisql.fill(path, one, pools, seed=0)
            wrong = mistaken(question, one.table, chance)
            told = _told(ReadOnlyFile(path, CopilotSettings()), one.table, wrong)
            path.unlink()
            if told is not None:
                tables = _beside(one.table, asked, chance)
                mended = prompt(tables, question.text, Mistake(wrong, told))
                yield {"input": mended, "output": question.sql(one.table)}


def _told(database: ReadOnlyFile, table: Table, sql: str) -> str | None:
    ran: Result | QueryError
    try:
        ran = database.run(sql)
    except QueryError as error:
        ran = error
    return complaint(database, [table], sql, ran)


def _beside(table: Table, asked: Sequence[wikisql.Asked], chance: random.Random) -> list[Table]:
    """The table, sometimes with another one before or after it."""
    other = chance.choice(asked).table
    if chance.random() >= SECOND_TABLE_SHARE or other.name == table.name:
        return [table]
    return chance.sample([table, other], 2)


if __name__ == "__main__":
    main()
