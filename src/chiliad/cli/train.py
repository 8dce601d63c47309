"""`chiliad train` and `chiliad correct`: from tables to versions that serve."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chiliad.cli.settings import existing, looked_at
from chiliad.cli.train_many import train_many
from chiliad.config import Precision, Settings

if TYPE_CHECKING:
    from chiliad.workspace import Expert, TrainOptions, Workspace

Name = Annotated[str, typer.Argument(help="The expert's name, for example tickets.")]
WorkspaceFolder = Annotated[Path | None, typer.Option("--workspace", "-w", help="The workspace folder (default: ws).")]


class Method(StrEnum):
    """As `chiliad.training.Method` has them, which loads PyTorch."""

    SUPERVISED = "supervised"
    DPO = "dpo"
    KTO = "kto"


class Kind(StrEnum):
    """As `chiliad.adapters.AdapterKind` has them, which loads PyTorch."""

    LORA = "lora"
    SHARED_BASIS = "shared-basis"
    IA3 = "ia3"
    PREFIX = "prefix"


Many = Annotated[
    Path | None, typer.Option(help="A folder with a table for each expert, or one table with a column `expert`.")
]
Inputs = Annotated[
    list[str] | None, typer.Option("--input", help="Column with the input; several are put one below the other.")
]
Instruction = Annotated[
    str | None, typer.Option(help="What the task is, in a sentence: the base model is told it when it is compared.")
]
MethodOf = Annotated[
    Method | None,
    typer.Option(
        help="dpo learns from pairs (prompt, chosen, rejected), kto from good and bad answers (default: by DATA)."
    ),
]
Beta = Annotated[
    float | None, typer.Option(min=1e-4, help="Of preferences: the larger, the nearer to where it started (0.1).")
]
From = Annotated[
    str | None, typer.Option("--from", help="Continue from this expert; preferences do so from the live NAME anyway.")
]
KindOf = Annotated[
    Kind, typer.Option(help="What is trained: lora is megabytes; shared-basis is 27 KB, in a basis that all share.")
]
BasePrecision = Annotated[
    Precision | None,
    typer.Option(help="What the frozen base is kept in meanwhile: int8 and int4 (QLoRA) save memory and take longer."),
]
Rank = Annotated[int | None, typer.Option(min=1, max=256, help="Rank (default: from the number of rows).")]
VirtualTokens = Annotated[int | None, typer.Option(min=1, max=256, help="Of the kind prefix (default: 16).")]
Epochs = Annotated[int | None, typer.Option(min=1, help="Most epochs; training stops early when it no longer helps.")]
Rate = Annotated[float | None, typer.Option("--learning-rate", min=1e-8, help="Peak learning rate.")]
Seed = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Of the start values and the order of rows.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")]


def train(
    name: Annotated[str | None, typer.Argument(help="The expert's name, for example tickets.")] = None,
    data: Annotated[Path | None, typer.Option("--data", help="CSV, TSV, JSONL (chats too), Parquet or Excel.")] = None,
    many: Many = None,
    workspace: WorkspaceFolder = None,
    test: Annotated[Path | None, typer.Option(help="A file of its own with test rows; else a fifth of DATA.")] = None,
    input: Inputs = None,  # noqa: A002 - the option's name
    output: Annotated[str | None, typer.Option(help="Column with the wanted answer.")] = None,
    group: Annotated[str | None, typer.Option(help="Column whose equal values stay together in the split.")] = None,
    instruction: Instruction = None,
    base: Annotated[str | None, typer.Option(help="Base model (default: smollm2-135m-q4_1).")] = None,
    start: From = None,
    method: MethodOf = None,
    beta: Beta = None,
    kind: KindOf = Kind.LORA,
    base_precision: BasePrecision = None,
    rank: Rank = None,
    epochs: Epochs = None,
    learning_rate: Rate = None,
    rslora: Annotated[bool, typer.Option("--rslora", help="Scale by alpha over the root of the rank.")] = False,
    virtual_tokens: VirtualTokens = None,
    seed: Seed = 0,
    baselines: Annotated[bool, typer.Option(help="Compare with baselines and write the card.")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and stop.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train an expert on a table of examples or preferences, prove what it is worth, and make it live if it is not worse.

    With --many instead of NAME and --data: an expert for each table, all on one base and together. The columns
    `instruction` and `family`, where all rows of an expert agree, and `split` (train or test) are understood.
    A run that was stopped or killed continues when the same command is given again.
    """
    shape: dict[str, Any] = {"rank": rank, "rslora": rslora, "virtual_tokens": virtual_tokens}
    course: dict[str, Any] = {
        "beta": beta,
        "base_precision": base_precision,
        "epochs": epochs,
        "learning_rate": learning_rate,
    }
    options = _options(kind, method, **shape, **course, seed=seed, baselines=baselines)
    columns: dict[str, Any] = {"input": input, "output": output, "group": group, "options": options}
    settings, told = Settings.load(workspace=workspace), {"dry_run": dry_run, "as_json": as_json}
    if many is not None:
        one = {"NAME": name, "--data": data, "--test": test, "--instruction": instruction, "--from": start}
        _refuse_beside_many(one)
        _train_many(settings, many, base, columns, **told)
    elif name is None or data is None:
        raise typer.BadParameter("Give NAME and --data FILE, or --many with a folder or a file.")
    else:
        columns |= {"test": test, "instruction": instruction}
        _train_one(settings, name, data, start, base, columns, **told)


def correct(
    name: Name,
    data: Annotated[Path, typer.Option("--data", help="Corrected answers, in the columns of the training file.")],
    workspace: WorkspaceFolder = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Train the next version with corrected answers; it goes live only if it is not worse on the frozen test rows."""
    from chiliad.workspace import RichReporter, TrainOptions, Workspace

    with Workspace.open(existing(workspace), RichReporter()) as ws:
        _report(ws.correct(name, data, options=TrainOptions(seed=seed)), as_json=as_json)


def _options(kind: Kind, method: Method | None, **chosen: Any) -> TrainOptions:
    from chiliad.adapters import AdapterKind
    from chiliad.training import Method as TrainingMethod
    from chiliad.workspace import TrainOptions

    return TrainOptions(kind=AdapterKind(kind), method=TrainingMethod(method) if method else None, **chosen)


def _train_many(
    settings: Settings, many: Path, base: str | None, chosen: dict[str, Any], *, dry_run: bool, as_json: bool
) -> None:
    from chiliad.base import DEFAULT_BASE
    from chiliad.workspace import RichReporter, Workspace

    opened: AbstractContextManager[Workspace]
    opened = looked_at(settings) if dry_run else Workspace.open(settings, RichReporter())
    with opened as ws:
        train_many(ws.many(many, **chosen, base=base or DEFAULT_BASE), dry_run=dry_run, as_json=as_json)


def _train_one(
    settings: Settings,
    name: str,
    data: Path,
    start: str | None,
    base: str | None,
    chosen: dict[str, Any],
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    from chiliad.workspace import RichReporter, Workspace
    from chiliad.workspace.plan import plan
    from chiliad.workspace.preferring import drafted

    if dry_run:
        with looked_at(settings) as ws:
            ws.registry.check_name(name)
            typer.echo(plan(ws, drafted(ws, name, data, **chosen, **_beginning(ws, start, base))))
    else:
        with Workspace.open(settings, RichReporter()) as ws:
            _report(ws.train(name, data, **chosen, **_beginning(ws, start, base)), as_json=as_json)


def _beginning(workspace: Workspace, start: str | None, base: str | None) -> dict[str, Any]:
    """Where training starts: from a version on its base, or from a base. Raises ExpertNotFound."""
    from chiliad.base import DEFAULT_BASE

    parent = workspace.registry.get(start) if start else None
    return {"parent": parent, "base": base or (parent.base_id if parent else DEFAULT_BASE)}


def _refuse_beside_many(given: dict[str, Any]) -> None:
    for option, value in given.items():
        if value is not None:
            raise typer.BadParameter(f"{option} is of one expert and goes not with --many: the tables say it for each.")


def _report(expert: Expert, *, as_json: bool) -> None:
    """Say what came of it. A version that the gate refused is an error, though it is kept."""
    if as_json:
        typer.echo(json.dumps(_document(expert), indent=2))
    else:
        _tell(expert)
    if expert.refusal:
        raise expert.refusal


def _tell(expert: Expert) -> None:
    from chiliad.evals.wording import adapter_kind, bytes_text, preference_sentence

    facts, card = expert.version.training, expert.card
    if card:
        typer.echo(card.verdict.line)
    size = bytes_text((expert.folder / "adapter_model.safetensors").stat().st_size)
    typer.echo(
        f"{expert.ref}: {facts['rows']} rows, {facts['epochs']} epochs, {facts['seconds']:.0f} s of training "
        f"({facts['tokens_per_second']} tokens/s), {adapter_kind(facts)}, {size}"
    )
    if "preferences_agreed" in facts:
        typer.echo(preference_sentence(facts))
    if "corrections" in facts:
        left = facts["corrections_left_out"]
        typer.echo(
            f"{facts['corrections']} corrections used; left out: {left['of_test_rows']} of test rows, "
            f"{left['blank']} without input or answer"
        )
        if facts["new_labels"]:
            labels = ", ".join(map(repr, facts["new_labels"]))
            typer.echo(
                f"New labels, which no earlier example has: {labels}. If one is a typing error, correct it again."
            )
    if expert.comparison:
        typer.echo(f"Against version {expert.comparison.live}: {expert.comparison}")
    if card:
        typer.echo(f"Card: {expert.folder / 'card.html'}")
    if expert.warning:
        typer.echo(f"Beware: {expert.warning}")
    if expert.refusal is None:
        typer.echo(f'It is live. Try: chiliad ask {expert.ref.name} "..."')


def _document(expert: Expert) -> dict[str, Any]:
    card, comparison = expert.card, expert.comparison
    return {
        "expert": str(expert.ref),
        "live": expert.refusal is None,
        "training": dict(expert.version.training),
        "card": json.loads(card.to_json()) if card else None,
        "comparison": comparison.to_document() if comparison else None,
        "warning": expert.warning,
        "refusal": expert.refusal.cause if expert.refusal else None,
    }
