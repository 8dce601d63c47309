"""Limits on either database: never passed, however many servers reserve at once, and safe when one of them dies."""

import threading
from datetime import UTC, datetime

import pytest

from chiliad.store import Budgets, Database, Entry, GroupBy, Keys, Ledger, Limit, Limits, Period, Refusal, Role, Settled
from tests.store.conftest import NOON


@pytest.fixture
def budgets(database, clock):
    return Budgets(database, clock)


def entry(number=0, **changes):
    facts = {
        "id": f"chatcmpl-{number}",
        "at_s": NOON,
        "key_id": "k",
        "project": "default",
        "model": "tickets@1",
        "answers": 1,
        "prompt_tokens": 8,
        "cached_tokens": 2,
        "answer_tokens": 2,
        "machine_s": 0.5,
        "wait_s": 1.0,
        "cost": 0.25,
    }
    return Entry(**{**facts, **changes})


def test_requests_are_counted_until_the_minute_is_over(budgets, clock):
    limits = Limits(requests_per_minute=2)
    first = budgets.reserve("k", limits, tokens=5, spend=0)
    assert (first.standing.requests_left, first.standing.tokens_left, first.standing.reset_s) == (1, None, 50)
    assert budgets.reserve("k", limits, tokens=5, spend=0).standing.requests_left == 0
    refused = budgets.reserve("k", limits, tokens=5, spend=0)
    assert (refused.limit, refused.wait_s, refused.hopeless, refused.left) == (Limit.REQUESTS, 50, False, 0)
    assert not isinstance(budgets.reserve("other", limits, tokens=5, spend=0), Refusal), "each key has its own"
    clock.now += 50
    assert budgets.reserve("k", limits, tokens=5, spend=0).standing.requests_left == 1


def test_tokens_are_reserved_whole_and_settled_to_what_was_used(budgets, database):
    limits = Limits(tokens_per_minute=100)
    held = budgets.reserve("k", limits, tokens=90, spend=0)
    refused = budgets.reserve("k", limits, tokens=20, spend=0)
    assert (refused.limit, refused.asked, refused.left, refused.standing.tokens_left) == (Limit.TOKENS, 20, 10, 10)
    Ledger(database).record([Settled(entry(), held)], {})
    assert budgets.reserve("k", limits, tokens=20, spend=0).standing.tokens_left == 70


def test_what_fits_into_no_minute_is_called_hopeless(budgets):
    assert budgets.reserve("k", Limits(tokens_per_minute=100), tokens=101, spend=0).hopeless


def test_spend_lasts_for_the_calendar_month(budgets, clock, database):
    limits = Limits(spend_per_month=1.0)
    held = budgets.reserve("k", limits, tokens=10, spend=0.9)
    refused = budgets.reserve("k", limits, tokens=10, spend=0.2)
    december = datetime(2026, 12, 1, tzinfo=UTC).timestamp()
    assert (refused.limit, refused.wait_s) == (Limit.SPEND, december - NOON)
    Ledger(database).record([Settled(entry(), held)], {})
    clock.now += 3600
    assert budgets.reserve("k", limits, tokens=10, spend=0.7).spend == 0.7
    assert budgets.reserve("k", limits, tokens=10, spend=0.1).limit is Limit.SPEND
    clock.now = december
    assert budgets.reserve("k", limits, tokens=10, spend=1.0).month == "2026-12"


def test_what_a_dead_server_reserved_stays_reserved(budgets, clock):
    limits = Limits(tokens_per_minute=10, spend_per_month=1.0)
    budgets.reserve("k", limits, tokens=10, spend=0.6)  # and its server is never heard of again
    assert budgets.reserve("k", limits, tokens=1, spend=0.1).limit is Limit.TOKENS
    clock.now += 60
    assert budgets.reserve("k", limits, tokens=1, spend=0.5).limit is Limit.SPEND


def test_settling_late_gives_nothing_to_the_next_minute(budgets, clock, database):
    limits = Limits(tokens_per_minute=100)
    held = budgets.reserve("k", limits, tokens=100, spend=0)
    clock.now += 60
    budgets.reserve("k", limits, tokens=50, spend=0)
    Ledger(database).record([Settled(entry(), held)], {})
    assert budgets.reserve("k", limits, tokens=50, spend=0).standing.tokens_left == 0


def test_a_clock_that_is_behind_opens_no_minute_anew(budgets, clock):
    limits = Limits(requests_per_minute=1)
    budgets.reserve("k", limits, tokens=1, spend=0)
    clock.now -= 60
    assert budgets.reserve("k", limits, tokens=1, spend=0).limit is Limit.REQUESTS


def test_a_limit_of_nothing_lets_nothing_in(budgets):
    assert budgets.reserve("k", Limits(requests_per_minute=0), tokens=1, spend=0).limit is Limit.REQUESTS
    assert budgets.reserve("k", Limits(spend_per_month=0.0), tokens=1, spend=1e-9).limit is Limit.SPEND


def test_many_servers_at_once_never_pass_a_limit(database_url, clock):
    limits, let_in = Limits(requests_per_minute=25, tokens_per_minute=1000), []

    def serve():
        database = Database.open(database_url)
        budgets = Budgets(database, clock)
        found = [budgets.reserve("k", limits, tokens=50, spend=0) for _ in range(10)]
        let_in.extend(one for one in found if not isinstance(one, Refusal))
        database.close()

    servers = [threading.Thread(target=serve) for _ in range(4)]
    for server in servers:
        server.start()
    for server in servers:
        server.join()
    assert len(let_in) == 20
    assert min(one.standing.tokens_left for one in let_in) == 0


def test_recording_twice_changes_nothing(budgets, database):
    limits, ledger = Limits(tokens_per_minute=100), Ledger(database)
    settled = Settled(entry(), budgets.reserve("k", limits, tokens=90, spend=0))
    for _ in range(2):
        ledger.record([settled], {})
    assert [one.requests for one in ledger.sums(GroupBy.MODEL)] == [1]
    assert budgets.reserve("k", limits, tokens=0, spend=0).standing.tokens_left == 90


def test_the_ledger_is_summed_by_model_key_and_day(database):
    ledger = Ledger(database)
    day_s = 24 * 3600
    entries = [
        entry(1),
        entry(2, model="tickets@2", key_id="other", project="shop", answers=3),
        entry(3, at_s=NOON + day_s, cost=1.0),
    ]
    ledger.record([Settled(one) for one in entries], {})
    by_model = {one.of: one for one in ledger.sums(GroupBy.MODEL)}
    assert by_model["tickets@1"].requests == by_model["tickets@1"].answers == 2
    assert by_model["tickets@1"].cost == 1.25
    assert (by_model["tickets@1"].prompt_tokens, by_model["tickets@1"].machine_s) == (16, 1.0)
    assert by_model["tickets@2"].answers == 3
    assert [(one.of, one.requests) for one in ledger.sums(GroupBy.KEY)] == [("k", 2), ("other", 1)]
    assert [(one.of, one.requests) for one in ledger.sums(GroupBy.DAY)] == [("2026-11-23", 2), ("2026-11-24", 1)]
    assert [one.of for one in ledger.sums(GroupBy.MODEL, project="shop")] == ["tickets@2"]
    assert [one.of for one in ledger.sums(GroupBy.DAY, period=Period(until_s=NOON + 1))] == ["2026-11-23"]
    assert [one.of for one in ledger.sums(GroupBy.DAY, period=Period(since_s=NOON + 1))] == ["2026-11-24"]


def test_a_key_knows_when_it_was_last_used(database, clock):
    keys = Keys(database, clock)
    made = keys.create("a", role=Role.APP)
    Ledger(database).record([], {made.key.id: NOON})
    assert keys.get(made.key.id).last_used_s == NOON
