"""What every past schema held is read by today's rooms, from the schema on that brought it."""

import sqlite3
from pathlib import Path

import pytest

from chiliad.store import (
    AuditLog,
    Corrections,
    Database,
    Decision,
    Evals,
    FeedbackLog,
    GroupBy,
    ItemStatus,
    Jobs,
    JobState,
    KeptAnswers,
    Keys,
    Ledger,
    Limits,
    Role,
    Sessions,
    Tally,
    Uploads,
    Votes,
    sqlite_url,
)
from chiliad.store.tables import SCHEMA

FOLDER = Path(__file__).parent / "schemas"
AT_S = 1767312000.0


def has_jobs(database):
    job = Jobs(database).get("job-e0687ea05371e406")
    assert (job.kind, job.state, job.document, job.key) == ("train", JobState.QUEUED, {"name": "tickets"}, "k")
    assert [event.text for event in Jobs(database).events(job.id)] == ["Queued."]


def has_files_and_evals(database):
    file = Uploads(database, Path("files")).get("file-1")
    assert (file.name, file.purpose, file.bytes, file.created_s) == ("train.jsonl", "fine-tune", 3, AT_S)
    kept = Evals(database).get("eval_1")
    assert (kept.document, {kept.project, file.project}) == ({"name": "exact"}, {"default"})
    (item,) = Evals(database).items("job-e0687ea05371e406")
    assert (item.status, item.document) == (ItemStatus.PASSED, {"item": {"q": "ä"}})


def has_keys_and_money(database):
    key = Keys(database).by_secret("chil_past")
    assert (key.id, key.role, key.project) == ("key-1", Role.MEMBER, "support")
    assert key.limits == Limits(tokens_per_minute=None, requests_per_minute=60, spend_per_month=2.5)
    assert Sessions(database).find("past-token").key_id == "key-1"
    (spent,) = Ledger(database).sums(GroupBy.MODEL)
    assert (spent.of, spent.answers, spent.cost) == ("tickets@2", 1, 0.000125)
    assert [entry.action for entry in AuditLog(database).page()] == ["key.create"]


def has_answers_and_feedback(database):
    kept = KeptAnswers(database, retention_days=30)
    answer = kept.get("chatcmpl-1", project="support")
    assert (answer.turns, answer.text, answer.wanted) == ([{"role": "user", "content": "ä?"}], "card", "refund")
    assert answer.decision is Decision.CORRECT
    (given,) = FeedbackLog(database, kept).about(["chatcmpl-1"])["chatcmpl-1"]
    assert (given.said.boolean, given.said.demonstration) == (False, "refund")
    assert Corrections(database, kept).rules("support") == {"tickets": 50}


def has_votes(database):
    assert Votes(database).tally("tickets@1", "tickets@2") == Tally(one=0, other=1, ties=0)


BROUGHT = {
    2: has_jobs,
    3: has_files_and_evals,
    4: has_keys_and_money,
    5: has_answers_and_feedback,
    6: has_votes,
}


def test_every_past_schema_is_here():
    assert {int(path.stem) for path in FOLDER.glob("*.sql")} >= set(range(1, SCHEMA))


@pytest.mark.parametrize(
    ("schema", "brought"),
    [(schema, brought) for schema in range(1, SCHEMA) for brought in BROUGHT if brought <= schema],
)
def test_what_a_schema_brought_is_read_from_it_and_all_after_it(tmp_path, schema, brought):
    path = FOLDER / f"{schema:04}.sql"
    with sqlite3.connect(tmp_path / "chiliad.db") as connection:
        connection.executescript(path.read_text("utf-8"))
    connection.close()
    database = Database.open(sqlite_url(tmp_path / "chiliad.db"))
    BROUGHT[brought](database)
    database.close()
