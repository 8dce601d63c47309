"""The command itself: registers the nouns, and turns our exceptions into one message and an exit code."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from chiliad import __version__
from chiliad.cli import base, data, experts
from chiliad.cli.ask import ask
from chiliad.cli.doctor import doctor
from chiliad.cli.evaluate import evaluate
from chiliad.cli.serve import serve
from chiliad.cli.train import correct, train
from chiliad.errors import ChiliadError

app = typer.Typer(
    help="Small expert language models on one shared base: trained, proved, served and improved on your own machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(base.app, name="base")
app.add_typer(data.app, name="data")
app.command()(train)
app.command()(correct)
app.command("eval")(evaluate)
app.command()(ask)
app.command()(serve)
app.add_typer(experts.app, name="experts")
app.command()(experts.gc)
app.command()(doctor)


def main() -> None:
    """Run the command line. Our own errors end as two lines and their exit code; Ctrl-C as 130."""
    try:
        app()
    except ChiliadError as error:
        typer.echo(f"Error: {error.cause}\n  Fix: {error.fix}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        typer.echo("Stopped. Nothing is half-written; the same command continues a training.", err=True)
        sys.exit(130)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit
