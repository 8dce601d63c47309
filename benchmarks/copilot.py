"""How often an expert's query gives what the right one gives, with and without help: `python benchmarks/copilot.py --json`.

Finds WikiSQL in the folder that CHILIAD_DATA names. The workspace needs the expert `wikisql`, which
`python benchmarks/quality.py wikisql --epochs 1 --workspace WORKSPACE` trains; the expert `sql` continues from it with rows in
the co-pilot's own form, some of them mistakes to mend, and is trained when it is missing. Nothing of the data is kept
but scores.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import wikisql
from mistakes import mistaken

import chiliad
from chiliad.config import CopilotSettings
from chiliad.copilot import Mistake, complaint, prompt
from chiliad.errors import QueryError
from chiliad.store.read_only import ReadOnlyFile, Result, Table
from chiliad.workspace import Expert, TrainOptions, Workspace

PARENT, EXPERT = "wikisql", "sql"
FIRST_ROWS, REPAIR_ROWS, TEST_ROWS = 3_000, 1_000, 60
SECOND_TABLE_SHARE = 0.25
"""of the rows to learn from: there the right table has to be chosen too"""

Row = dict[str, str]


def main() -> None:
    options = _arguments()
    folder = os.environ.get("CHILIAD_DATA")
    if not folder:
        sys.exit("Set CHILIAD_DATA to the folder with the public data sets.")
    settings = {"threads": options.threads} if options.threads else {}
    workspace = chiliad.open(options.workspace, progress=sys.stderr.isatty(), **settings)
    expert = _expert(workspace, Path(folder) / "wikisql")
    print(expert)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", default="quality-ws", help="the workspace with the experts")
    parser.add_argument("--rows", type=int, default=500, help="test questions")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


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
        options=TrainOptions(epochs=1, baselines=False),
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
