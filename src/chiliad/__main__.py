"""`python -m chiliad` is the `chiliad` command."""

from chiliad.cli import main

main()
