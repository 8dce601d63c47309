import pytest

from chiliad.config import ElsewhereSettings, PriceSettings
from chiliad.ledger import Accounts, Evidence, RightShare, Training, cost_report
from chiliad.ledger.report import OUTCOMES_MIN, WORDS_PER_TOKEN
from chiliad.store import (
    AnswerToKeep,
    Database,
    Entry,
    FeedbackLog,
    KeptAnswers,
    Period,
    Role,
    Said,
    Settled,
    sqlite_url,
)

ENTRY = {
    "at_s": 1e9, "key_id": "k", "project": "default", "model": "tickets@1", "answers": 2, "prompt_tokens": 8,
    "cached_tokens": 2, "answer_tokens": 2, "machine_s": 0.5, "wait_s": 1.0, "cost": 0.5,
}  # fmt: skip


@pytest.fixture
def database(tmp_path):
    database = Database.open(sqlite_url(tmp_path / "chiliad.db"))
    yield database
    database.close()


@pytest.fixture
def accounts(database):
    return Accounts(database, PriceSettings(), elsewhere=ElsewhereSettings(36.0, 50.0, 0.5, 10.0))


@pytest.fixture
def ledger(accounts):
    return accounts.ledger


class Known:
    """Experts whose scores and trainings are made up."""

    def __init__(self, scores=(), trainings=()):
        self.score = dict(scores).get
        self.trainings = lambda: trainings


@pytest.fixture
def report(accounts):
    def make(scores=(), trainings=(), **options):
        return cost_report(accounts, Known(scores, trainings), **options)

    return make


def by_test(share):
    return RightShare(share, 8, Evidence.TEST, "its card")


def record(ledger, *changes):
    ledger.record([Settled(Entry(**{**ENTRY, "id": f"a{n}", **change})) for n, change in enumerate(changes)], {})


def test_an_empty_ledger_makes_no_cost(report):
    told = report()
    assert (told.total.requests, told.total.cost, told.total.cost_per_answer) == (0, 0, None)
    assert told.experts == told.keys == told.days == ()


def test_a_correct_answer_costs_more_the_rarer_it_is(ledger, report):
    record(ledger, {}, {"model": "base"}, {"model": "never@1"}, {"model": "cut@1", "answers": 0})
    scores = {name: by_test(0.25) for name in ("tickets@1", "cut@1")}
    told = {one.of: one for one in report({**scores, "never@1": by_test(0)}).experts}
    assert (told["tickets@1"].cost_per_answer, told["tickets@1"].cost_per_correct) == (0.25, 1.0)
    assert (told["base"].cost_per_answer, told["base"].cost_per_correct, told["base"].score) == (0.25, None, None)
    assert told["never@1"].cost_per_correct is None, "it is never right"
    assert (told["cut@1"].cost_per_answer, told["cut@1"].cost_per_correct) == (None, None)


def test_a_report_is_of_a_project_and_a_period(ledger, report):
    record(ledger, {}, {"project": "shop"}, {"at_s": 2e9})
    assert report().total.requests == 3
    assert report(project="shop").total.requests == 1
    assert report(period=Period(since_s=1.5e9)).total.requests == 1
    assert [day.of for day in report().days] == ["2001-09-09", "2033-05-18"]


def test_hosted_models_are_priced_for_the_same_tokens(ledger, report):
    record(ledger, {"prompt_tokens": 10**6, "answer_tokens": 0})
    (one,) = report(hosted=("gpt-5-mini",)).hosted
    record(ledger, {"prompt_tokens": 10**6, "answer_tokens": 0})  # the same entry: nothing changes
    assert report(hosted=("gpt-5-mini",)).hosted == (one,)
    assert one.cost > 0


def test_the_same_answers_elsewhere_in_money_and_time(ledger, report):
    record(ledger, {"answers": 2, "answer_tokens": 40, "machine_s": 2.0, "wait_s": 3.0})
    told = report(hosted=("gpt-5-mini", "no-such-model"))
    assert told.total.wait_per_answer_s == 1.5
    assert (told.person.cost_per_answer, told.person.cost, told.person.seconds_per_answer) == (0.5, 1.0, 50.0)
    hosted, unknown = told.hosted
    assert hosted.cost_per_answer == hosted.cost / 2
    assert hosted.seconds_per_answer == 0.5 + 20 / 10
    assert (unknown.cost, unknown.cost_per_answer) == (None, None)
    assert told.people_served == WORDS_PER_TOKEN * 40 / 2.0, "words a second"


def keep(database, count, *, right, project="default"):
    """So many answers of tickets@1 whose outcome was told, the first ones wrong at first."""
    kept = KeptAnswers(database, 30)
    log = FeedbackLog(database, kept)
    for n in range(count):
        answer = AnswerToKeep(f"{project}-{n}", "k", project, "tickets@1", "tickets", [], "status", 0.9, {})
        kept.keep([answer])
        log.give(answer.id, Said(outcome=False), by="k", project=None)
        log.give(answer.id, Said(boolean=True), by="k", project=None)
        if n < right:
            log.give(answer.id, Said(outcome=True), by="k", project=None)


def test_outcomes_count_before_test_rows_once_there_are_enough(ledger, report, database):
    record(ledger, {"answers": 10, "cost": 1.0, "wait_s": 5.0})
    keep(database, OUTCOMES_MIN - 1, right=5)
    (few,) = report({"tickets@1": by_test(0.25)}).experts
    assert few.score.by is Evidence.TEST
    keep(database, 1, right=0, project="shop")
    (enough,) = report({"tickets@1": by_test(0.25)}).experts
    assert (enough.score.by, enough.score.share, enough.score.rows) == (Evidence.OUTCOMES, 5 / 20, 20)
    assert enough.cost_per_correct == pytest.approx(1.0 / (10 * 5 / 20))
    assert enough.wait_per_correct_s == pytest.approx(5.0 / (10 * 5 / 20))
    assert report(project="default").experts[0].score is None, "of its own outcomes alone"


def test_a_retraining_is_told_beside_the_first_training(report):
    trained = [Training("a", 1, 1e9, 40.0, 4.0), Training("a", 3, 2e9, 10.0, 1.0), Training("b", 2, 1e9, 5.0, 0.5)]
    first, second = report(trainings=trained).trainings
    assert (first.expert, first.trainings, first.first.cost, first.newest.cost) == ("a", 2, 4.0, 1.0)
    assert (first.machine_s, first.cost) == (50.0, 5.0)
    assert second.first == second.newest == trained[2]


def test_keys_are_told_by_name(ledger, report, accounts):
    made = accounts.keys.create("Ann", role=Role.APP)
    record(ledger, {"key_id": made.key.id}, {"key_id": "anybody"})
    assert {(one.of, one.name) for one in report().keys} == {(made.key.id, "Ann"), ("anybody", None)}
