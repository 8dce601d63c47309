"""The HTTP server: OpenAI's contract over a `Service`."""

from chiliad.server.app import create_app
from chiliad.server.process import run
from chiliad.server.service import AnyService, Handle, ServedModel, Service, Turns

__all__ = ["AnyService", "Handle", "ServedModel", "Service", "Turns", "create_app", "run"]
