"""The pages: what people see of a workspace in a browser, rendered here, with one script library and no build step."""

from chiliad.server.web.problem import answer

__all__ = ["answer"]
