import pytest

from chiliad.config import PriceSettings
from chiliad.ledger import MachinePrice, TestScore, cost_report
from chiliad.store import Database, Entry, Keys, Ledger, Period, Role, Settled, sqlite_url

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
def ledger(database):
    return Ledger(database)


@pytest.fixture
def report(ledger, database):
    def make(scores=(), **options):
        return cost_report(ledger, Keys(database), MachinePrice.of(PriceSettings()), dict(scores).get, **options)

    return make


def record(ledger, *changes):
    ledger.record([Settled(Entry(**{**ENTRY, "id": f"a{n}", **change})) for n, change in enumerate(changes)], {})


def test_an_empty_ledger_makes_no_cost(report):
    told = report()
    assert (told.total.requests, told.total.cost, told.total.cost_per_answer) == (0, 0, None)
    assert told.experts == told.keys == told.days == ()


def test_a_correct_answer_costs_more_the_rarer_it_is(ledger, report):
    record(ledger, {}, {"model": "base"}, {"model": "never@1"}, {"model": "cut@1", "answers": 0})
    scores = {name: TestScore(0.25, 8, "its card") for name in ("tickets@1", "cut@1")}
    told = {one.of: one for one in report({**scores, "never@1": TestScore(0, 8, "its card")}).experts}
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


def test_keys_are_told_by_name(ledger, report, database):
    made = Keys(database).create("Ann", role=Role.APP)
    record(ledger, {"key_id": made.key.id}, {"key_id": "anybody"})
    assert {(one.of, one.name) for one in report().keys} == {(made.key.id, "Ann"), ("anybody", None)}
