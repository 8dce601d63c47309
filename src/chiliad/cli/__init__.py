"""The `chiliad` command: one file per noun, and heavy imports only inside the command that needs them."""

from chiliad.cli.main import main

__all__ = ["main"]
