"""Kept answers, what is said and decided about them, who sees them and for how long, on both kinds of database."""

from dataclasses import replace
from functools import partial

import pytest

from chiliad.errors import AnswerNotFound, FeedbackError, StoreError
from chiliad.store import (
    AnswerToKeep,
    AuditLog,
    Corrections,
    Decision,
    FeedbackLog,
    Jobs,
    KeptAnswers,
    ReviewOrder,
    Said,
    Wish,
)
from chiliad.store.answers import DAY_S
from chiliad.store.backend import Writers
from chiliad.store.feedback import FEEDBACK_MAX
from chiliad.store.tables import feedback
from tests.store.conftest import NOON

ONE = AnswerToKeep(
    id="a",
    key_id="key-1",
    project="shop",
    model="tickets@1",
    expert="tickets",
    turns=[{"role": "user", "content": "where is my box\0"}],
    text="status",
    certainty=0.9,
    metadata={"k": "v"},
)


@pytest.fixture
def answers(database, clock):
    return KeptAnswers(database, 30, clock)


@pytest.fixture
def log(database, answers, clock):
    return FeedbackLog(database, answers, clock)


@pytest.fixture
def corrections(database, answers, clock):
    return Corrections(database, answers, clock)


def ids(found):
    return [answer.id for answer in found]


def queue(answers, order=ReviewOrder.USEFULNESS, project=None, **options):
    return ids(answers.to_review(order, project=project, limit=10, **options))


def test_an_answer_is_kept_as_it_was_and_seen_by_its_project_alone(answers):
    answers.keep([replace(ONE, text="a\0b"), replace(ONE, id="b", expert=None, model="tiny")])
    found = answers.get("a", project="shop")
    assert (found.turns, found.metadata, found.created_s) == (
        [{"role": "user", "content": "where is my box\N{REPLACEMENT CHARACTER}"}],
        {"k": "v"},
        NOON,
    )
    assert found.text == "a\N{REPLACEMENT CHARACTER}b", "PostgreSQL keeps no NUL in a text"
    assert answers.get("b", project=None).expert is None
    for look in (answers.get, answers.delete):
        with pytest.raises(AnswerNotFound):
            look("a", project="desk")
    assert answers.some(["a", "c"], project="shop").keys() == {"a"}
    assert answers.some(["a"], project="desk") == {}


def test_the_queue_is_ordered_as_it_is_asked_for(answers, log, clock):
    for answer_id, certainty in (("sure", 0.9), ("unsure", 0.2), ("disputed", 0.8), ("new", 0.9)):
        clock.now += 1
        answers.keep([replace(ONE, id=answer_id, certainty=certainty)])
    log.give("disputed", Said(boolean=False), by="x", project=None)
    log.give("sure", Said(comment="hm"), by="x", project=None)
    assert queue(answers) == ["disputed", "unsure", "new", "sure"]
    assert queue(answers, ReviewOrder.CERTAINTY)[0] == "unsure"
    assert queue(answers, ReviewOrder.DISAGREEMENT) == ["disputed", "new", "unsure", "sure"]
    assert queue(answers, ReviewOrder.NEWEST) == ["new", "disputed", "unsure", "sure"]
    assert queue(answers, expert="others") == queue(answers, project="desk") == []


def test_what_is_decided_about_leaves_the_queue(answers, corrections):
    answers.keep([replace(ONE, id=name) for name in "abcd"])
    corrections.decide("a", Decision.CORRECT, "refund", by="x", project=None)
    corrections.decide("b", Decision.ACCEPT, "status", by="x", project=None)
    decided = corrections.decide("c", Decision.DISMISS, None, by="key-2", project="shop")
    assert decided == answers.get("c", project="shop")
    assert (decided.decision, decided.wanted, decided.decided_by) == (Decision.DISMISS, None, "key-2")
    assert queue(answers) == ["d"]
    assert [(one.id, one.wanted) for one in corrections.learned("tickets", project=None)] == [
        ("a", "refund"), ("b", "status"),
    ]  # fmt: skip
    assert corrections.learned("tickets", project="desk") == corrections.learned("others", project=None) == []


@pytest.mark.parametrize(
    ("said", "disagreement"),
    [
        ([Said(boolean=True)], 0),
        ([Said(boolean=False)], 1),
        ([Said(score=0.75)], 0.25),
        ([Said(outcome=False), Said(boolean=True)], 0.5),
        ([Said(boolean=True, demonstration="refund")], 1),
        ([Said(demonstration=" status ")], 0),
        ([Said(comment="why?")], 0),
        ([Said(comment="why?"), Said(boolean=False)], 1),
    ],
)
def test_disagreement_is_how_much_of_the_feedback_speaks_against_an_answer(answers, log, said, disagreement):
    answers.keep([ONE])
    given = [log.give("a", one, by="x", project="shop") for one in said]
    assert answers.get("a", project=None).disagreement == pytest.approx(disagreement)
    assert sorted(log.about(["a"])["a"], key=given.index) == given
    with pytest.raises(AnswerNotFound):
        log.give("a", said[0], by="x", project="desk")


def test_not_more_can_be_said_about_an_answer_than_people_can_read(answers, log):
    answers.keep([ONE])
    for _ in range(FEEDBACK_MAX):
        log.give("a", Said(boolean=True), by="x", project=None)
    with pytest.raises(FeedbackError):
        log.give("a", Said(boolean=False), by="x", project=None)
    assert answers.get("a", project=None).disagreement == 0
    assert len(log.about(["a"])["a"]) == FEEDBACK_MAX


def test_badly_served_is_what_is_spoken_against_and_what_a_base_answered_without_praise(answers, log, corrections):
    base = replace(ONE, expert=None, model="tiny")
    answers.keep([replace(base, id=name) for name in ("base", "praised", "commented", "accepted")])
    answers.keep([replace(ONE, id=name) for name in ("fine", "wrong", "dismissed")])
    log.give("praised", Said(score=0.8), by="x", project=None)
    log.give("commented", Said(comment="hm"), by="x", project=None)
    corrections.decide("accepted", Decision.ACCEPT, "status", by="x", project=None)
    for name in ("wrong", "dismissed"):
        log.give(name, Said(outcome=False), by="x", project=None)
    corrections.decide("dismissed", Decision.DISMISS, None, by="x", project=None)
    assert set(ids(answers.badly_served(project="shop", limit=10))) == {"base", "commented", "wrong"}
    assert answers.badly_served(project="desk", limit=10) == []


def test_after_its_time_an_answer_is_gone_unless_it_is_to_be_learned(answers, corrections, clock):
    answers.keep([replace(ONE, id=name) for name in ("old", "dismissed", "corrected")])
    corrections.decide("dismissed", Decision.DISMISS, None, by="x", project=None)
    corrections.decide("corrected", Decision.CORRECT, "refund", by="x", project=None)
    clock.now += 30 * DAY_S
    with pytest.raises(AnswerNotFound):
        answers.get("old", project=None)
    assert queue(answers) == []
    assert answers.get("corrected", project=None).wanted == "refund"
    assert answers.sweep() == 2
    clock.now -= 1
    assert answers.some(["old", "dismissed", "corrected"], project=None).keys() == {"corrected"}


def test_keeping_an_answer_removes_those_whose_time_is_over(answers, clock):
    answers.keep([ONE])
    clock.now += 31 * DAY_S
    answers.keep([replace(ONE, id="b")])
    assert answers.sweep() == 0


def test_ratings_have_no_number_at_which_they_are_too_many(answers, log, database):
    number = 33_000  # SQLite takes 32,766 values in one query
    answers.keep([replace(ONE, id=f"{n:05}") for n in range(number)])
    good = [
        {"id": f"f{n}", "answer_id": f"{n:05}", "at_s": NOON, "key_id": "x", "boolean": n > 0} for n in range(number)
    ]
    with database.write(Writers.FEEDBACK) as connection:
        connection.execute(feedback.insert(), good)
    rated = log.rated("tickets", project="shop")
    assert [one.good for one in rated] == [False] + [True] * (number - 1)


def test_a_deleted_answer_takes_its_feedback_along(answers, log):
    answers.keep([ONE])
    log.give("a", Said(comment="secret"), by="x", project=None)
    answers.delete("a", project="shop")
    assert log.about(["a"]) == {}


def test_a_purge_takes_what_is_from_before_of_whom_it_is_asked_for_and_is_in_the_audit_log(
    answers, log, corrections, clock, database
):
    answers.keep([ONE, replace(ONE, id="other", project="desk"), replace(ONE, id="base", expert=None)])
    corrections.decide("a", Decision.CORRECT, "refund", by="x", project=None)
    log.give("a", Said(boolean=False), by="x", project=None)
    clock.now += 10
    answers.keep([replace(ONE, id="later")])
    assert answers.purge(before_s=clock.now, project="shop", expert="tickets") == 1
    assert set(queue(answers)) == {"other", "base", "later"}
    assert log.about(["a"]) == {}
    assert answers.purge(before_s=clock.now + 1, project=None) == 3
    [entry, _] = AuditLog(database).page()
    assert (entry.action, entry.details["answers"]) == ("answers.purge", 3)


@pytest.fixture
def jobs(database, clock):
    return Jobs(database, clock)


@pytest.fixture
def submit(jobs):
    """Queues a training in a transaction that is under way."""
    return partial(jobs.submit_with, kind="correct", document={"name": "tickets"})


def test_a_training_takes_what_waits_once(answers, corrections, submit):
    answers.keep([replace(ONE, id=name) for name in "abc"])
    for name in "ab":
        corrections.decide(name, Decision.CORRECT, "refund", by="x", project=None)
    corrections.decide("c", Decision.ACCEPT, "status", by="x", project=None)
    [gathered] = corrections.gathered(project="shop")
    assert (gathered.expert, gathered.accepted, gathered.corrected, gathered.waiting) == ("tickets", 1, 2, 2)
    given = corrections.learned("tickets", project="shop")
    assert corrections.learn("tickets", given, submit, project="shop", at_least=3) is None
    assert corrections.learn("tickets", given, submit, project="shop", at_least=2) is not None
    assert corrections.learn("tickets", given, submit, project="shop", at_least=2) is None
    assert corrections.waiting("tickets", project=None) == 0
    corrections.decide("a", Decision.CORRECT, "damage", by="x", project=None)
    assert corrections.waiting("tickets", project=None) == 1, "a new decision is to be learned anew"
    assert corrections.gathered(project="desk") == []


def test_a_training_takes_what_it_was_given_and_no_later_word(answers, corrections, clock, submit):
    answers.keep([replace(ONE, id=name) for name in "abc"])
    for name in "ab":
        corrections.decide(name, Decision.CORRECT, "refund", by="x", project=None)
    given = corrections.learned("tickets", project=None)
    clock.now += 1
    for name in "bc":
        corrections.decide(name, Decision.CORRECT, "damage", by="x", project=None)
    job = corrections.learn("tickets", given, submit, project=None)
    assert {one.id: one.job_id for one in corrections.learned("tickets", project=None)} == {
        "a": job.id,
        "b": None,
        "c": None,
    }
    assert corrections.waiting("tickets", project=None) == 2


def test_what_a_training_did_not_learn_waits_again(answers, corrections, jobs, submit):
    answers.keep([replace(ONE, id=name) for name in "ab"])
    corrections.decide("a", Decision.CORRECT, "refund", by="x", project=None)
    first = corrections.learn("tickets", corrections.learned("tickets", project=None), submit, project=None)
    assert jobs.lease("worker").id == first.id
    jobs.succeed(first.id, "worker", {})
    corrections.decide("b", Decision.CORRECT, "damage", by="x", project=None)
    failing = partial(jobs.fail, worker="worker", error={"cause": "no room"})
    for end in (failing, partial(jobs.stop, worker="worker", wish=Wish.CANCEL)):
        job = corrections.learn("tickets", corrections.learned("tickets", project=None), submit, project=None)
        assert jobs.lease("worker").id == job.id
        assert corrections.waiting("tickets", project=None) == 0
        end(job.id)
        assert corrections.waiting("tickets", project=None) == 1, "the first training's stay learned"
        assert corrections.gathered(project=None)[0].waiting == 1


def test_without_a_job_nothing_is_taken(answers, corrections, jobs):
    def submit(connection):
        jobs.submit_with(connection, "correct", {})
        raise StoreError("The disk is full.", fix="Make room.")

    answers.keep([ONE])
    corrections.decide("a", Decision.CORRECT, "refund", by="x", project=None)
    with pytest.raises(StoreError):
        corrections.learn("tickets", corrections.learned("tickets", project=None), submit, project=None)
    assert corrections.waiting("tickets", project=None) == 1
    assert jobs.page() == []


def test_a_rule_is_of_one_expert_and_project(corrections):
    corrections.set_rule("tickets", "shop", 50)
    corrections.set_rule("tickets", "shop", 20)
    corrections.set_rule("tickets", "desk", 5)
    assert corrections.rules("shop") == {"tickets": 20}
    corrections.set_rule("tickets", "shop", None)
    assert (corrections.rules("shop"), corrections.rules("desk")) == ({}, {"tickets": 5})
