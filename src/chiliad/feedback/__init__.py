"""From what people said about answers to examples to learn from, and to experts that are missing."""

from chiliad.feedback.curation import example_of, last_request, preference_of
from chiliad.feedback.kinds_of_request import kinds_of_request

__all__ = ["example_of", "kinds_of_request", "last_request", "preference_of"]
