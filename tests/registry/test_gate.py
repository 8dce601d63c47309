"""The gate: only a significantly worse version is refused, and refused with its numbers."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from chiliad.errors import PromotionRefused
from chiliad.registry.alias import Alias
from chiliad.registry.gate import Action, Promotion, judge
from chiliad.registry.ids import ExpertRef
from tests.registry.conftest import compared

CANDIDATE = ExpertRef("tickets", 2)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_the_first_version_needs_no_comparison():
    judge(CANDIDATE, None, None)


@pytest.mark.parametrize(("delta", "p_value"), [(0.1, 0.001), (0.0, 1.0), (-0.02, 0.4)])
def test_better_equal_and_slightly_worse_pass(delta, p_value):
    judge(CANDIDATE, 1, compared(2, 1, delta=delta, p_value=p_value))


def test_the_gate_asks_one_side_of_the_question():
    judge(CANDIDATE, 1, compared(2, 1, delta=-0.06, p_value=0.11))
    with pytest.raises(PromotionRefused):
        judge(CANDIDATE, 1, compared(2, 1, delta=-0.09, p_value=0.064))


def test_significantly_worse_is_refused_with_numbers_and_fix():
    with pytest.raises(PromotionRefused) as refused:
        judge(CANDIDATE, 1, compared(2, 1, delta=-0.12, p_value=0.003))
    assert "0.680 against 0.800 on 100 rows" in refused.value.cause
    assert "p = 0.003" in refused.value.cause
    assert "--force" in refused.value.fix


def test_losses_too_small_to_be_seen_do_not_add_up():
    little, much = compared(4, 3, delta=-0.09, p_value=0.2), compared(4, 1, delta=-0.14, p_value=0.01)
    candidate = ExpertRef("tickets", 4)
    judge(candidate, 3, little)
    judge(candidate, 3, little, compared(4, 1, delta=-0.1, p_value=0.2))
    with pytest.raises(PromotionRefused) as refused:
        judge(candidate, 3, little, much)
    assert "version 1, the best so far" in refused.value.cause
    assert "added up" in refused.value.fix


@pytest.mark.parametrize(
    "comparison",
    [None, compared(2, 7, delta=0.1, p_value=0.001), compared(3, 1, delta=0.1, p_value=0.1)],
    ids=["missing", "with another live version", "of another candidate"],
)
def test_no_evidence_is_refused(comparison):
    with pytest.raises(PromotionRefused, match=r"(?i)promote tickets@2"):
        judge(CANDIDATE, 1, comparison)


def test_no_rows_are_no_evidence():
    with pytest.raises(PromotionRefused, match="0 rows"):
        judge(CANDIDATE, 1, compared(2, 1, delta=0.1, p_value=1.0, n=0))


def test_a_promotion_survives_its_document():
    step = Promotion(Action.PROMOTE, 2, NOON, True, compared(2, 1, delta=0.1, p_value=0.01))
    assert Promotion.from_document(step.to_document()) == step


def steps(*moves):
    alias = Alias()
    for action, number in moves:
        alias = alias.moved(Promotion(action, number, NOON))
    return alias


P, R, W = Action.PROMOTE, Action.ROLLBACK, Action.WITHDRAW


@pytest.mark.parametrize(
    ("moves", "live", "previous"),
    [
        ([], None, None),
        ([(P, 1)], 1, None),
        ([(P, 1), (P, 2)], 2, 1),
        ([(P, 1), (P, 2), (P, 3), (R, 2)], 2, 1),
        ([(P, 1), (P, 2), (R, 1), (P, 3)], 3, 1),
        ([(P, 1), (P, 2), (P, 1)], 1, 2),
        ([(P, 1), (P, 2), (W, 2)], None, 1),
        ([(P, 1), (P, 2), (W, 2), (P, 3)], 3, 1),
    ],
)
def test_rollback_walks_back_through_what_was_live(moves, live, previous):
    alias = steps(*moves)
    assert alias.live == live
    assert alias.previous({1, 2, 3}) == previous


def test_rollback_passes_over_deleted_versions():
    assert steps((P, 1), (P, 2), (P, 3)).previous({1, 3}) == 1


def scored(*moves):
    """An alias by (action, version, live before, scores of both, rows); FORCED is a promotion past the gate."""
    alias = Alias()
    for action, number, *against in moves:
        found = None
        if against:
            live, score, live_score, rows = against
            plain = compared(number, live, delta=score - live_score, p_value=1.0, n=rows)
            found = replace(plain, candidate_score=score, live_score=live_score)
        forced = action == FORCED
        alias = alias.moved(Promotion(P if forced else action, number, NOON, forced, found))
    return alias


FORCED = "forced"
ONE, TWO, THREE = (P, 1), (P, 2, 1, 0.73, 0.78, 50), (P, 3, 2, 0.64, 0.73, 50)


@pytest.mark.parametrize(
    ("moves", "best"),
    [
        ([], None),
        ([ONE], 1),
        ([ONE, TWO], 1),
        ([ONE, TWO, THREE], 1),
        ([ONE, (P, 2, 1, 0.78, 0.78, 50)], 2),
        ([ONE, (P, 2, 1, 0.9, 0.78, 50), (P, 3, 2, 0.85, 0.9, 50)], 2),
        ([ONE, (P, 2, 1, 0.9, 0.78, 50), (R, 1)], 1),
        ([ONE, TWO, (FORCED, 3, 2, 0.64, 0.73, 50)], 3),
        ([ONE, TWO, (FORCED, 3, 2, 0.64, 0.73, 50), (P, 4, 3, 0.6, 0.64, 50)], 3),
        ([ONE, TWO, (P, 3, 2, 0.3, 0.4, 60)], 2),
    ],
    ids=["none", "one", "a loss", "losses", "equal", "a gain", "rolled back", "forced", "after force", "other rows"],
)
def test_the_best_is_what_scored_highest_on_the_same_rows(moves, best):
    assert scored(*moves).best({1, 2, 3, 4}) == best


def test_the_best_is_one_that_still_exists():
    assert scored(ONE, TWO, THREE).best({2, 3}) == 2


def test_alias_file(tmp_path):
    assert Alias.read(tmp_path) == Alias()
    alias = steps((P, 1), (P, 2), (R, 1))
    alias.write(tmp_path)
    assert Alias.read(tmp_path) == alias
    assert alias.number_max() == 2
    assert alias.without(7).number_max() == 7
