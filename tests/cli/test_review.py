"""`chiliad review`: what is kept is listed, learned from and forgotten."""

import json
import re

from chiliad.store import AnswerToKeep, Decision
from chiliad.workspace import Workspace


def keep(settings, *answers, decision=None):
    with Workspace.open(settings) as workspace:
        feedback = workspace.feedback
        turns = [{"role": "user", "content": "where is\ncrate 9"}]
        feedback.answers.keep(
            [
                AnswerToKeep(answer_id, "key-1", "default", "tickets@1", "tickets", turns, "refund", certainty, {})
                for answer_id, certainty in answers
            ]
        )
        for answer_id, _ in answers if decision else ():
            feedback.decide(answer_id, decision, "status", by="x", project=None)


def test_answers_are_listed_by_use_and_purged(chiliad, settings, live):
    assert "Nothing waits" in chiliad("review", "list").out
    keep(settings, ("sure", 0.9), ("unsure", 0.25))
    unsure, sure = chiliad("review", "list").out.splitlines()
    assert re.match(r"unsure .*tickets@1 .*certain  25%.*where is crate 9 -> refund", unsure)
    assert sure.startswith("sure ")
    [newest] = json.loads(chiliad("review", "list", "--order", "newest", "--limit", 1, "--json").out)
    assert newest["turns"][0]["content"] == "where is\ncrate 9"
    assert "0 answers" in chiliad("review", "purge", "--before", "2026-01-01").out
    assert "2 answers" in chiliad("review", "purge", "--before", "2999-01-01", "--expert", "tickets").out
    assert "Nothing waits" in chiliad("review", "list").out


def test_what_was_called_good_or_bad_is_queued_to_be_learned(chiliad, settings, live):
    chiliad("review", "prefer", "tickets").refused("0 different preferences")


def test_what_was_decided_is_queued_to_be_learned(chiliad, settings, live):
    chiliad("review", "retrain", "tickets").refused("Nobody has corrected")
    keep(settings, ("a", 0.5), decision=Decision.CORRECT)
    queued = chiliad("review", "retrain", "tickets")
    job_id = queued.out.split()[-1]
    assert json.loads(chiliad("jobs", "show", job_id, "--json").out)["document"]["parent"] == "tickets@1"
    assert "correct" in chiliad("jobs", "list").out
