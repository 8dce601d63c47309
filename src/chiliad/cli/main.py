"""The command itself: registers the nouns, and turns our exceptions into one message and an exit code."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from chiliad import __version__
from chiliad.cli import base, data, databases, experts, jobs, keys, review
from chiliad.cli.ask import ask
from chiliad.cli.audit import audit
from chiliad.cli.backup import backup, restore
from chiliad.cli.costs import costs
from chiliad.cli.doctor import doctor
from chiliad.cli.evaluate import evaluate
from chiliad.cli.forecast import forecast
from chiliad.cli.inspect import inspect
from chiliad.cli.serve import serve
from chiliad.cli.train import correct, train
from chiliad.cli.usage import explained, new_app
from chiliad.cli.worker import worker
from chiliad.errors import ChiliadError

MISTAKE, STOPPED = 70, 130

app = new_app(
    "Small expert language models on one shared base: trained, proved, served and improved on your own machine."
)
app.add_typer(base.app, name="base")
app.add_typer(data.app, name="data")
app.command()(train)
app.command()(correct)
app.command("eval")(evaluate)
app.command()(forecast)
app.command()(inspect)
app.command()(ask)
app.command()(serve)
app.add_typer(experts.app, name="experts")
app.add_typer(jobs.app, name="jobs")
app.command()(worker)
app.add_typer(review.app, name="review")
app.add_typer(keys.app, name="keys")
app.add_typer(databases.app, name="databases")
app.command()(costs)
app.command()(audit)
app.command()(experts.gc)
app.command()(backup)
app.command()(restore)
app.command()(doctor)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line on `arguments`, by default the process's own. Ends in SystemExit.

    Exit codes: 0 done, 1 it could not be done, 2 wrong use (an unknown option, a bad setting), 70 a mistake in Chiliad,
    130 Ctrl-C. What went wrong is said on standard error as cause and fix, never as a traceback.
    """
    _use_any_terminal()
    try:
        code = app(arguments, standalone_mode=False) or 0
    except ChiliadError as error:
        _end(error.cause, error.fix, error.exit_code)
    except typer.TyperException as error:
        _end(*explained(error), error.exit_code)
    except Exception as error:  # noqa: BLE001 - a user can do nothing with a traceback, whoever mends it can
        _end(*_mistake(error), MISTAKE)
    if code == STOPPED:  # what typer makes of Ctrl-C
        typer.echo("Stopped. Nothing is half-written; the same command continues a training.", err=True)
    sys.exit(code)


def _use_any_terminal() -> None:
    """A terminal that lacks a character shows a question mark instead of failing the command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _end(cause: str, fix: str, code: int) -> NoReturn:
    typer.echo(f"Error: {cause}\n  Fix: {fix}", err=True)
    sys.exit(code)


def _mistake(error: Exception) -> tuple[str, str]:
    """Cause and fix of what nobody foresaw. The traceback goes into a file, or to the terminal if that can't be written."""
    import traceback
    from tempfile import NamedTemporaryFile

    try:
        with NamedTemporaryFile("w", prefix="chiliad-error-", suffix=".txt", errors="replace", delete=False) as file:
            traceback.print_exception(error, file=file)
        where = file.name
    except OSError:
        traceback.print_exception(error)
        where = "the lines above"
    first_line, _, _ = str(error).partition("\n")
    cause = f"Chiliad failed in a way that it does not know, {type(error).__name__}: {first_line}"
    return cause, f"Please report it with {where}, which tells where. What was live still serves."


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit
