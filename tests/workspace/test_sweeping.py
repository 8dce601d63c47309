"""Kept answers whose time is over, while a server runs."""

from queue import SimpleQueue

from chiliad.errors import StoreError
from chiliad.store import AnswerToKeep
from chiliad.workspace.sweeping import Sweeping


def test_expired_answers_leave_the_database_though_nothing_is_kept_any_more(workspace, monkeypatch, caplog):
    kept, swept, first = workspace.feedback.answers, SimpleQueue(), []

    def sweep(answers):
        if not first:
            first.append("fails")
            raise StoreError("The database is away.", fix="Bring it back.")
        swept.put(removed(answers))

    removed = type(kept).sweep
    monkeypatch.setattr(type(kept), "sweep", sweep)
    answer = AnswerToKeep("a", "key", "shop", "tiny", None, [{"role": "user", "content": "hi"}], "yes", 0.5, {})
    kept.keep([answer])
    with Sweeping(kept, every_s=0.01):
        assert swept.get(timeout=60) == 0
        monkeypatch.setattr(kept, "_retention_s", 0.0)
        while swept.get(timeout=60) != 1:
            pass
    assert "The database is away" in caplog.text
