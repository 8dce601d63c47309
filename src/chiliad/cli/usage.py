"""How the command line is read: one kind of app for every noun, and wrong use told as everything else is."""

from __future__ import annotations

from typing import Any, NoReturn

import typer
from typer.core import TyperGroup


class Group(TyperGroup):
    """Shows its help when nothing is asked of it, with the whole first paragraph of each command.

    Contexts are of a class that typer does not export.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args:
            _show_help(ctx)
        return super().parse_args(ctx, args)

    def get_help(self, ctx: Any) -> str:
        for command in self.commands.values():
            command.short_help = (command.help or "").partition("\n\n")[0]
        return super().get_help(ctx)


def new_app(told: str) -> typer.Typer:
    """An app with plain help: drawing it with rich takes longer than everything else that `--help` does."""
    return typer.Typer(
        help=told, cls=Group, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
    )


def explained(error: typer.TyperException) -> tuple[str, str]:
    """Cause and fix of wrong use: what the option is for, if it is about one, and where the help is."""
    context: Any = getattr(error, "ctx", None)
    parameter: Any = getattr(error, "param", None)
    purpose = f"{parameter.get_error_hint()} is: {parameter.help} " if getattr(parameter, "help", None) else ""
    command = context.command_path if context else "chiliad"
    cause = error.format_message().replace("Value error, ", "").rstrip(".")
    return f"{cause}.", f"{purpose}`{command} --help` shows how to use it."


def _show_help(ctx: Any) -> NoReturn:
    """On standard error, and as wrong use: a script that forgot the command must notice."""
    typer.echo(ctx.get_help(), err=True)
    raise typer.Exit(2)
