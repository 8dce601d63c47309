"""`chiliad experts`: what there is, what is live, and how experts come and go."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chiliad.cli.compress import compress
from chiliad.cli.settings import existing
from chiliad.cli.usage import new_app
from chiliad.config import Settings
from chiliad.errors import RegistryError

if TYPE_CHECKING:
    from chiliad.registry import ExpertSummary, ExpertVersion, Registry
    from chiliad.registry.garbage import Garbage
    from chiliad.registry.merged import Parity

app = new_app("List, promote, export and import experts.")


class Form(StrEnum):
    PEFT = "peft"
    MERGED = "merged"
    GGUF = "gguf"


Reference = Annotated[str, typer.Argument(metavar="NAME", help="An expert (tickets) or a version of one (tickets@3).")]
WorkspaceOption = Annotated[Path | None, typer.Option("--workspace", "-w", help="The workspace folder (default: ws).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


app.command()(compress)


@app.command("list")
def list_experts(workspace: WorkspaceOption = None, as_json: AsJson = False) -> None:
    """Show all experts, each with its live version."""
    with open_registry(existing(workspace)) as registry:
        experts = registry.experts()
    if as_json:
        _print_json([_summary(expert) for expert in experts])
    elif not experts:
        typer.echo("No experts yet. `chiliad train NAME --data FILE` makes the first.")
    else:
        _print_table(experts)


@app.command()
def show(expert: Reference, workspace: WorkspaceOption = None, as_json: AsJson = False) -> None:
    """Show one version, the live one by default, and how its expert's alias moved."""
    with open_registry(existing(workspace)) as registry:
        version = registry.get(expert)
        history = [step.to_document() for step in registry.history(version.name)]
        details = _details(version, registry)
        alias = next((one.live for one in registry.experts() if one.name == version.name), None)
        live = alias.number if alias else None
    if as_json:
        _print_json({**details, "live": live == version.number, "training": dict(version.training), "history": history})
        return
    state = "live" if live == version.number else f"not live; version {live} is" if live else "not live"
    typer.echo(f"{version.ref} is {state}.")
    for key, value in _told(version, Path(details["folder"])).items():
        typer.echo(f"{key:<10} {value}")
    for step in history:
        forced = " (forced)" if step["forced"] else ""
        typer.echo(f"{step['at'][:19]}  {step['action']} {version.name}@{step['version']}{forced}")


@app.command()
def promote(
    expert: Annotated[str, typer.Argument(metavar="NAME@N", help="The version to make live.")],
    force: Annotated[bool, typer.Option("--force", help="Go past the gate; this is recorded.")] = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Make a version live, unless it is significantly worse than the live one, or the best before, on the test rows."""
    from chiliad.workspace import RichReporter, Workspace

    with Workspace.open(existing(workspace), RichReporter()) as ws:
        version = ws.registry.get(expert)
        step = ws.promote(str(version.ref), force=force)
    typer.echo(f"{version.ref} is live." + (f" {step.comparison}." if step.comparison else ""))


@app.command()
def rollback(
    expert: Annotated[str, typer.Argument(metavar="NAME", help="The expert.")], workspace: WorkspaceOption = None
) -> None:
    """Make the version live again that was live before."""
    with open_registry(existing(workspace)) as registry:
        step = registry.rollback(expert)
    typer.echo(f"{expert}@{step.version} is live again.")


@app.command()
def export(
    expert: Reference,
    out: Annotated[Path, typer.Option(help="The new folder to write; for peft also a new .zip file.")],
    form: Annotated[Form, typer.Option("--format", help="What to write.")] = Form.PEFT,
    workspace: WorkspaceOption = None,
    as_json: AsJson = False,
) -> None:
    """Write an expert for other tools: a PEFT adapter, a merged model, or GGUF with a Modelfile for Ollama.

    What was written is read back and compared before it appears.
    """
    if form is Form.MERGED:
        ref, parity = _export_merged(expert, out, workspace)
    else:
        ref, parity = _export(expert, form, out, workspace)
    if as_json:
        _print_json({"expert": ref, "format": form, "out": str(out), **vars(parity)})
    else:
        typer.echo(f"{ref} is in {out}: {parity}.")


@app.command("import")
def import_expert(
    expert: Annotated[str, typer.Argument(metavar="NAME", help="The expert that gets a new version.")],
    source: Annotated[Path, typer.Argument(help="A PEFT adapter's folder, or a .zip from `experts export`.")],
    base: Annotated[str | None, typer.Option(help="The base model that it was trained on.")] = None,
    choices: Annotated[
        Path | None, typer.Option(help="A text file with the allowed answers, one a line, for a closed answer set.")
    ] = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Take in a PEFT adapter as a new version. It becomes live by `experts promote`."""
    from chiliad.base import DEFAULT_BASE, BaseStore
    from chiliad.data import read_lines
    from chiliad.registry.import_ import import_adapter

    found = BaseStore(Settings.load().cache_dir).get(base or DEFAULT_BASE)
    answers = read_lines(choices) if choices else None
    with open_registry(Settings.load(workspace=workspace)) as registry:
        version = import_adapter(registry, expert, source, found, choices=answers)
    typer.echo(f"{version.ref} is here. `chiliad experts promote {version.ref}` makes it live.")


@app.command()
def install(
    source: Annotated[Path, typer.Argument(metavar="PACK", help="A file with many experts of one base.")],
    base: Annotated[str | None, typer.Option(help="The base model, if it has another name here.")] = None,
    workspace: WorkspaceOption = None,
    as_json: AsJson = False,
) -> None:
    """Make all experts of a pack live. Something wrong with one of them, and none is installed."""
    from chiliad.base import BaseStore
    from chiliad.registry.install import install_pack
    from chiliad.registry.pack import open_pack

    with open_pack(source) as pack:
        found = BaseStore(Settings.load().cache_dir).get(base or pack.facts.base_id)
    with open_registry(Settings.load(workspace=workspace)) as registry:
        installed = install_pack(registry, source, found)
    if as_json:
        refs = {"new": list(map(str, installed.new)), "present": list(map(str, installed.present))}
        _print_json({"title": installed.title, **refs})
    else:
        already = f", {len(installed.present)} were here already" if installed.present else ""
        typer.echo(f"{len(installed.new)} experts of {installed.title} are live{already}.")


@app.command()
def delete(
    expert: Reference,
    everything: Annotated[bool, typer.Option("--all", help="Delete all versions of the expert.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Delete the version even if it is live.")] = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Delete one version of an expert, or with --all the expert."""
    from chiliad.registry import ExpertRef

    ref = ExpertRef.parse(expert)
    if everything == (ref.number is not None):
        raise RegistryError(
            "What to delete is not clear.",
            fix=f"Name a version ({ref.name}@1), or give {ref.name} and --all for the whole expert.",
        )
    with open_registry(existing(workspace)) as registry:
        if everything:
            registry.delete_expert(ref.name)
        else:
            registry.delete(ref, force=force)
    typer.echo(f"Deleted {ref}.")


def gc(
    keep: Annotated[int, typer.Option(min=0, help="Newest versions of each expert to keep in any case.")] = 3,
    remove: Annotated[bool, typer.Option("--delete", help="Really delete; without it nothing is touched.")] = False,
    workspace: WorkspaceOption = None,
    as_json: AsJson = False,
) -> None:
    """Find versions that were never live, unused datasets, abandoned trainings and leftovers of killed processes.

    Nothing is touched unless --delete is given. A training that was stopped can
    be continued for 14 days. Fine-tuned models that have a name of their own stay,
    and so does what jobs that have not ended need.
    """
    from chiliad.registry.garbage import collect, find_garbage
    from chiliad.registry.registry import utc_now

    with open_registry(existing(workspace)) as registry:
        garbage = find_garbage(registry, now=utc_now(), keep=keep)
        if remove:
            collect(registry, garbage, now=utc_now())
    if as_json:
        _print_json({**_found(garbage), "bytes": garbage.bytes, "deleted": remove})
        return
    for kind, things in _found(garbage).items():
        for thing in things:
            typer.echo(f"{kind:<9} {thing}")
    done = "deleted" if remove else "can go" + ("; --delete removes it" if garbage else "")
    typer.echo(f"{garbage.bytes / 1e6:.1f} MB {done}.")


def _export_merged(expert: str, out: Path, workspace: Path | None) -> tuple[str, Parity]:
    """A merged model is also compared by what it predicts, which takes an engine."""
    from chiliad.registry.export_merged import export_merged
    from chiliad.workspace import Workspace
    from chiliad.workspace.exported import logprob_difference

    with Workspace.open(existing(workspace)) as ws:
        found = ws.expert(expert)
        parity = export_merged(
            found.version,
            found.folder,
            found.served.base,
            out,
            compare=lambda folder: logprob_difference(found, folder, ws.settings),
        )
    return str(found.ref), parity


def _export(expert: str, form: Form, out: Path, workspace: Path | None) -> tuple[str, Parity]:
    from chiliad.base import BaseStore
    from chiliad.registry.export_gguf import export_gguf
    from chiliad.registry.export_peft import export_peft

    with open_registry(existing(workspace)) as registry:
        version = registry.get(expert)
        folder = registry.folder(version.ref)
    bases = BaseStore(Settings.load().cache_dir)
    if form is Form.PEFT:
        return str(version.ref), export_peft(version, folder, out, bases.terms(version.base_id))
    return str(version.ref), export_gguf(version, folder, bases.get(version.base_id), out)


@contextmanager
def open_registry(settings: Settings) -> Iterator[Registry]:
    """The registry alone: opening it loads neither PyTorch nor a base model."""
    from chiliad.registry import Registry
    from chiliad.store import Store

    store = Store.of(settings)
    try:
        registry = Registry(store, settings.workspace, reserved=lambda: _base_ids(settings.cache_dir))
        for problem in registry.unreadable:
            typer.echo(f"Warning: {problem.reason}", err=True)
        yield registry
    finally:
        store.close()


def _base_ids(cache_dir: Path) -> frozenset[str]:
    from chiliad.base import BaseStore

    return frozenset(BaseStore(cache_dir).ids())


def _summary(expert: ExpertSummary) -> dict[str, Any]:
    return {
        "name": expert.name,
        "live": expert.live.number if expert.live else None,
        "versions": list(expert.numbers),
        "kind": expert.live.kind if expert.live else None,
        "base": expert.live.base_id if expert.live else None,
        "created": expert.live.created.isoformat() if expert.live else None,
    }


def _details(version: ExpertVersion, registry: Registry) -> dict[str, Any]:
    return {
        **{key: value for key, value in version.to_document().items() if key not in ("training", "choices")},
        "choices": list(version.choices),
        "folder": str(registry.folder(version.ref)),
    }


def _told(version: ExpertVersion, folder: Path) -> dict[str, str]:
    """What people want to know about a version; the whole hashes are for programs."""
    from chiliad.evals import Card
    from chiliad.evals.wording import adapter_kind, bytes_text
    from chiliad.workspace.expert import CARD_FILE

    card, rows = folder / CARD_FILE, version.training.get("rows")
    adapter_bytes = (folder / "adapter_model.safetensors").stat().st_size
    told = {
        "worth": Card.from_json(card.read_bytes()).verdict.line if card.is_file() else _claimed(version),
        "task": version.instruction,
        "answers": ", ".join(version.choices) or version.kind,
        "learned": f"{rows:,} rows" + (f", from version {version.parent} on" if version.parent else "")
        if rows
        else None,
        "base": version.base_id,
        "made": f"{version.created:%Y-%m-%d %H:%M}",
        "adapter": f"{version.adapter_hash[:12]}, {adapter_kind(version.training)}, {bytes_text(adapter_bytes)}",
        "folder": str(folder),
    }
    return {key: value for key, value in told.items() if value}


def _claimed(version: ExpertVersion) -> str:
    worth = version.training.get("pack", {}).get("worth")
    if worth is None:
        return "not measured: `chiliad eval`"
    return f"{worth['metric']} {worth['score']:.1%} on {worth['rows']} rows, says the pack that it came in"


def _found(garbage: Garbage) -> dict[str, list[str]]:
    return {
        "versions": [str(ref) for ref in garbage.versions],
        "datasets": [str(folder) for folder in garbage.datasets],
        "runs": [str(folder) for folder in garbage.runs],
        "leftovers": [str(stage) for stage in garbage.stages],
    }


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _print_table(experts: list[ExpertSummary]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("expert", "live", "versions", "kind", "base", "created", box=None)
    for expert in experts:
        live = expert.live
        known = (live.kind, live.base_id, f"{live.created:%Y-%m-%d %H:%M}") if live else ("", "", "")
        table.add_row(expert.name, str(live.ref) if live else "-", str(len(expert.numbers)), *known)
    Console(markup=False).print(table)
