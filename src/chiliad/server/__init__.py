"""The HTTP server: OpenAI's contract over a `Service`."""

from chiliad.server.app import create_app
from chiliad.server.process import run
from chiliad.server.service import Handle, ServedModel, Service, Turns

__all__ = ["Handle", "ServedModel", "Service", "Turns", "create_app", "run"]
