"""A thousand experts at once: install the pack, add one of your own, ask 32 of them in one batch. Nothing is canned.

`make demo-thousand` runs it; `make demo-thousand DATA=my.csv` makes your own file expert number 1,001.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from statistics import fmean
from typing import TypeVar

from rich.console import Console
from rich.table import Table

import chiliad
from chiliad.data import Example, Message, TaskKind
from chiliad.engine import Completion, SamplingParams
from chiliad.errors import ChiliadError
from chiliad.evals import make_judge
from chiliad.registry.pack import PackedExpert, open_pack
from chiliad.workspace import Expert, TrainOptions, Workspace
from chiliad.workspace.packing import install

HERE = Path(__file__).parent
PACK = HERE / "thousand.zip"
DATA = HERE.parent / "support_desk" / "triage.csv"
ASKED = 32
ANSWER_TOKENS_MAX = 64
OWN_EPOCHS = 3
SHOWN = 8

T = TypeVar("T")
console = Console(highlight=False, soft_wrap=True, stderr=True)


@dataclass(frozen=True)
class Question:
    """One row that no training has seen, for the expert that is meant to answer it."""

    expert: Expert
    example: Example


@dataclass(frozen=True)
class Findings:
    """What the demo claims, and fails without."""

    experts: int
    pack_bytes: int
    install_seconds: float
    own_expert: str
    own_train_seconds: float
    own_score: float
    requests: int
    together_seconds: float
    alone_seconds: float
    tokens: int
    same_answers: int
    scored_rows: int
    score: float
    score_shuffled: float
    peak_bytes: int
    seconds: float


def main() -> None:
    options = _arguments()
    _clear(options.workspace)
    try:
        with chiliad.open(options.workspace) as workspace:
            findings = run(workspace, options.pack, options.data)
    except ChiliadError as error:
        sys.exit(f"The demo failed: {error.cause}\n{error.fix}")
    if options.json:
        print(json.dumps(asdict(findings), indent=2))
    check(findings)


def run(workspace: Workspace, pack: Path, data: Path) -> Findings:
    started = time.perf_counter()
    installed, install_s = _timed(lambda: install(workspace, pack))
    experts = len(installed.new)
    console.print(
        f"[bold]{experts:,} experts[/] installed from {pack.stat().st_size / 1e6:.1f} MB in {install_s:.1f} s."
    )
    own, own_s = _timed(lambda: _own(workspace, data, installed.base_id))
    own_score = workspace.score(own, workspace.own_dataset(own).test)
    console.print(
        f"[bold]{own.ref.name}[/] from {data.name}: expert {experts + 1:,}, {own_s:.0f} s, score {own_score:.2f}."
    )
    questions = _questions(workspace, pack, own)
    first = list({one.expert.ref: one for one in questions}.values())
    _answers(first, [one.expert for one in first])  # adapters are read from disk here, and not while the clock runs
    together, together_s = _timed(lambda: _answers(first, [one.expert for one in first]))
    alone, alone_s = _timed(lambda: [_answers([one], [one.expert])[0] for one in first])
    _show(first, together)
    asked = [one.expert for one in questions]
    right = _score(questions, _answers(questions, asked))
    wrong = _score(questions, _answers(questions, _rotated(asked)))
    findings = Findings(
        experts=experts + 1,
        pack_bytes=pack.stat().st_size,
        install_seconds=install_s,
        own_expert=str(own.ref),
        own_train_seconds=own_s,
        own_score=own_score,
        requests=len(first),
        together_seconds=together_s,
        alone_seconds=alone_s,
        tokens=sum(len(one.tokens) for one in together),
        same_answers=sum(a.tokens == b.tokens for a, b in zip(together, alone, strict=True)),
        scored_rows=len(questions),
        score=right,
        score_shuffled=wrong,
        peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        seconds=time.perf_counter() - started,
    )
    _tell(findings)
    return findings


def check(findings: Findings) -> None:
    """The demo claims what it shows: it ends as a failure when that does not hold."""
    if findings.same_answers != findings.requests:
        sys.exit("The demo failed: answers of a mixed batch differ from those given one by one.")
    if findings.score_shuffled >= findings.score:
        sys.exit("The demo failed: shuffled adapters answered as well as the right ones.")


def _own(workspace: Workspace, data: Path, base: str) -> Expert:
    name = "my-" + (re.sub(r"[^a-z0-9]+", "-", data.stem.lower()).strip("-") or "data")
    return workspace.train(name, data, base=base, options=TrainOptions(epochs=OWN_EPOCHS, baselines=False))


def _questions(workspace: Workspace, pack: Path, own: Expert) -> list[Question]:
    """The test rows of 31 experts of as many families as there are, and of the user's own."""
    with open_pack(pack) as found:
        chosen = _spread(expert for expert in found.experts if expert.samples)[: ASKED - 1]
    samples = max((len(expert.samples) for expert in chosen), default=1)
    questions = [Question(own, example) for example in workspace.own_dataset(own).test[:samples]]
    for packed in chosen:
        expert = workspace.expert(packed.name)
        questions += [Question(expert, _example(text, answer)) for text, answer in packed.samples]
    return questions


def _spread(experts: Iterable[PackedExpert]) -> list[PackedExpert]:
    """One of each family in turn."""
    members: defaultdict[str, list[PackedExpert]] = defaultdict(list)
    for expert in experts:
        members[expert.family].append(expert)
    return [expert for turn in zip_longest(*members.values()) for expert in turn if expert is not None]


def _example(text: str, answer: str) -> Example:
    return Example.of([Message("user", text)], answer)


def _answers(questions: Sequence[Question], experts: Sequence[Expert]) -> list[Completion]:
    sampling = SamplingParams(max_tokens=ANSWER_TOKENS_MAX)
    requests = [e.request(one.example.input, sampling) for one, e in zip(questions, experts, strict=True)]
    return experts[0].served.engine.generate(requests)


def _rotated(experts: Sequence[Expert]) -> list[Expert]:
    """For each question the expert after the one that it is meant for."""
    different = list({expert.ref: expert for expert in experts}.values())
    after = {one.ref: other for one, other in zip(different, [*different[1:], different[0]], strict=True)}
    return [after[expert.ref] for expert in experts]


def _score(questions: Sequence[Question], answers: Sequence[Completion]) -> float:
    """Mean over the experts' own metrics."""
    return fmean(
        make_judge(TaskKind(one.expert.version.kind), None)([answer.text], [one.example]).value
        for one, answer in zip(questions, answers, strict=True)
    )


def _show(questions: Sequence[Question], answers: Sequence[Completion]) -> None:
    table = Table(title=f"{SHOWN} of {len(questions)} answers from one batch", box=None)
    for column in ("expert", "asked", "answered", "wanted"):
        table.add_column(column)
    for one, answer in list(zip(questions, answers, strict=True))[:SHOWN]:
        table.add_row(one.expert.ref.name, one.example.input[:60], answer.text[:60], one.example.answer[:60])
    console.print(table)


def _tell(found: Findings) -> None:
    console.print(
        f"{found.requests} requests for {found.requests} experts: {found.together_seconds:.2f} s in one batch "
        f"({found.tokens / found.together_seconds:.0f} tokens/s), {found.alone_seconds:.2f} s one by one; "
        f"{found.same_answers} of {found.requests} answers the same."
    )
    console.print(
        f"Score on {found.scored_rows} rows {found.score:.2f}; "
        f"with the adapters shuffled (control) {found.score_shuffled:.2f}."
    )
    console.print(
        f"Memory at most {found.peak_bytes / 2**30:.1f} GiB. All of it took {found.seconds / 60:.1f} minutes."
    )


def _clear(folder: Path) -> None:
    """Remove what an earlier demo left, and nothing else."""
    if folder.exists() and not (folder / "chiliad.db").is_file() and any(folder.iterdir()):
        sys.exit(f"{folder} is not a workspace of an earlier demo: name another folder with --workspace.")
    shutil.rmtree(folder, ignore_errors=True)


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    started = time.perf_counter()
    return work(), time.perf_counter() - started


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pack", type=Path, default=PACK, help="a pack that build.py made")
    parser.add_argument("--data", type=Path, default=DATA, help="your own table of examples")
    parser.add_argument("--workspace", type=Path, default=Path("demo-thousand-ws"), help="made anew at every run")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
