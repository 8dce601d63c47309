"""From a question to a query that runs: how an expert is asked for SQL, and how it is told what was wrong."""

from chiliad.copilot.complaint import complaint
from chiliad.copilot.draft import Draft, Try
from chiliad.copilot.grammar import select_grammar
from chiliad.copilot.prompt import Mistake, identifier, literal, prompt

__all__ = ["Draft", "Mistake", "Try", "complaint", "identifier", "literal", "prompt", "select_grammar"]
