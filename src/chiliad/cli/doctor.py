"""`chiliad doctor`: is everything here that is needed, and what to do if not."""

from __future__ import annotations

import json
import platform
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from chiliad.config import Settings
from chiliad.errors import ChiliadError


@dataclass(frozen=True)
class Finding:
    check: str
    ok: bool
    told: str
    fix: str = ""


def doctor(
    workspace: Annotated[
        Path | None, typer.Option("--workspace", "-w", help="The workspace folder (default: ws).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Check Python, PyTorch, the kernels, the base model, the database, write access and one generated token."""
    settings = Settings.load(workspace=workspace)
    findings = [_run(name, check, settings) for name, check in CHECKS.items()]
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            typer.echo(f"{'ok ' if finding.ok else 'BAD'}  {finding.check:<13} {finding.told}")
            if not finding.ok:
                typer.echo(f"     Fix: {finding.fix}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def _run(name: str, check: Callable[[Settings], str], settings: Settings) -> Finding:
    try:
        return Finding(name, True, check(settings))
    except ChiliadError as error:
        return Finding(name, False, error.cause, error.fix)
    except Exception as error:  # noqa: BLE001 - whatever is wrong is what is asked for
        return Finding(name, False, f"{type(error).__name__}: {error}", "Install Chiliad again in a fresh environment.")


def _python(_: Settings) -> str:
    return f"{platform.python_version()} at {sys.executable}"


def _torch(_: Settings) -> str:
    from importlib.metadata import version

    from chiliad.models import threads

    return f"PyTorch {version('torch')}, {threads.available()} threads"


def _kernels(_: Settings) -> str:
    from chiliad.kernels import path_in_use

    return path_in_use()


def _cache(settings: Settings) -> str:
    from chiliad.store.files import write_atomic

    probe = settings.cache_dir / ".doctor"
    write_atomic(probe, "")
    probe.unlink()
    return f"{settings.cache_dir} can be written"


def _base(settings: Settings) -> str:
    from chiliad.base import DEFAULT_BASE, BaseStore

    base = BaseStore(settings.cache_dir).get(DEFAULT_BASE, verify=True)
    return f"{base.id}, every byte as pulled ({base.fingerprint[:12]})"


def _bases(settings: Settings) -> str:
    from chiliad.base import BaseStore
    from chiliad.engine.native_runner import NativeRunner
    from chiliad.kernels import path_in_use
    from chiliad.models import ARCHITECTURES, config_of

    told = []
    for base in BaseStore(settings.cache_dir).list():
        kind, config = ARCHITECTURES[base.architecture].model, config_of(base.config)
        compiled = NativeRunner.is_built_for(kind, config, settings.engine)
        told.append(f"{base.id} ({base.architecture}): {path_in_use() if compiled else 'PyTorch'}")
    return "; ".join(told) or "none yet"


def _database(settings: Settings) -> str:
    from chiliad.store.files import explain_disk_errors
    from chiliad.workspace import Workspace

    if settings.workspace.exists():
        with Workspace.open(settings) as ws:
            return f"{ws.folder} opens, {len(ws.registry.experts())} experts"
    place = next(folder for folder in settings.workspace.absolute().parents if folder.exists())
    with (
        explain_disk_errors(settings.workspace),
        tempfile.TemporaryDirectory(prefix=".doctor-", dir=place) as folder,
        Workspace.open(replace(settings, workspace=Path(folder))),
    ):
        return f"works; {settings.workspace} will be made by the first training"


def _token(settings: Settings) -> str:
    from chiliad.base import DEFAULT_BASE, BaseStore
    from chiliad.engine import SamplingParams
    from chiliad.workspace.served_base import ServedBase

    served = ServedBase(BaseStore(settings.cache_dir).get(DEFAULT_BASE), settings)
    try:
        prompt = served.prompt(served.chat_template, [{"role": "user", "content": "Say hello."}])
        done = served.engine.generate([served.request("doctor", prompt, SamplingParams(max_tokens=1))])[0]
        return f"generated {done.text!r} in {done.timing.total_s * 1000:.0f} ms, weights in {served.engine.precision}"
    finally:
        served.close()


CHECKS: dict[str, Callable[[Settings], str]] = {
    "python": _python,
    "torch": _torch,
    "kernels": _kernels,
    "cache": _cache,
    "base weights": _base,
    "bases": _bases,
    "database": _database,
    "one token": _token,
}
