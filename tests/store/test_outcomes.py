"""Which answers turned out right, on both kinds of database: of each the last word, by model, project and time."""

import pytest

from chiliad.store import AnswerToKeep, FeedbackLog, KeptAnswers, Outcome, Outcomes, Period, Said


@pytest.fixture
def told(database, clock):
    """Keep an answer and tell its outcomes, one a second after the other."""
    answers = KeptAnswers(database, 30, clock)
    log = FeedbackLog(database, answers, clock)

    def tell(answer_id, *outcomes, model="tickets@1", project="shop"):
        answers.keep([AnswerToKeep(answer_id, "k", project, model, "tickets", [], "status", 0.9, {})])
        for outcome in outcomes:
            clock.now += 1
            log.give(answer_id, Said(outcome=outcome), by="k", project=None)
        log.give(answer_id, Said(boolean=True), by="k", project=None)

    return tell


def test_of_each_answer_the_last_outcome_counts(database, told):
    told("a", True, False)
    told("b", False, True)
    told("c", model="tickets@2")
    told("d", True, model="tickets@2", project="desk")
    outcomes = Outcomes(database)
    assert outcomes.by_model() == {"tickets@1": Outcome(1, 2), "tickets@2": Outcome(1, 1)}
    assert outcomes.by_model(project="shop") == {"tickets@1": Outcome(1, 2)}


def test_a_period_is_that_of_the_answers(database, told, clock):
    told("a", True)
    later = clock.now + 1
    clock.now += 2
    told("b", False)
    outcomes = Outcomes(database)
    assert outcomes.by_model(period=Period(until_s=later)) == {"tickets@1": Outcome(1, 1)}
    assert outcomes.by_model(period=Period(since_s=later)) == {"tickets@1": Outcome(0, 1)}
