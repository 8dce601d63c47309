"""From a question to a query that runs: how an expert is asked for SQL, and how it is told what was wrong."""

from chiliad.copilot.complaint import complaint
from chiliad.copilot.prompt import Mistake, identifier, prompt

__all__ = ["Mistake", "complaint", "identifier", "prompt"]
