"""A workspace on a tiny random base; the small embedder is the real one, from the user's cache."""

import pytest

from chiliad.workspace import Workspace


@pytest.fixture
def workspace(settings):
    with Workspace.open(settings) as workspace:
        yield workspace
