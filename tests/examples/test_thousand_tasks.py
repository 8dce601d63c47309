"""The tasks: enough of them, each with exact answers, the same for the same seed, and tests that no training has seen."""

from collections import Counter
from importlib.metadata import metadata
from random import Random

import pytest
from tasks.catalogue import all_tasks
from tasks.licences import LICENCES, PERMISSIVE
from tasks.task import plain, rows_of

from chiliad.data import Example, Message
from chiliad.registry.ids import RESERVED_NAMES, is_name

SOME = 23
"""every so many-th task, so that all families are looked at"""


@pytest.fixture(scope="module")
def tasks():
    return all_tasks()


def test_there_are_more_than_a_thousand_in_many_families(tasks):
    families = Counter(task.family for task in tasks)
    assert len(tasks) >= 1050
    assert len(families) >= 25
    assert sum(task.language == "id" for task in tasks) >= 12


def test_every_task_can_be_an_expert_and_is_there_once(tasks):
    names = [task.name for task in tasks]
    assert len(set(names)) == len(names)
    assert all(is_name(name) and name not in RESERVED_NAMES for name in names)
    assert all(task.instruction.endswith((".", "?")) for task in tasks)


def test_every_library_is_listed_and_permissive(tasks):
    assert {library for task in tasks for library in task.libraries} == set(LICENCES)
    for licence in LICENCES.values():
        assert {licence.code, licence.data} <= PERMISSIVE


def test_the_table_says_what_the_packages_say():
    for licence in LICENCES.values():
        if licence.distribution is not None:
            found = metadata(licence.distribution)
            told = " ".join([found.get("License-Expression") or found.get("License") or licence.code])
            assert licence.code in told, licence.distribution


def test_the_same_seed_gives_the_same_rows_and_another_seed_others(tasks):
    for task in tasks[::SOME]:
        first = rows_of(task, train=12, test=6, seed=0)
        assert rows_of(task, train=12, test=6, seed=0) == first
        assert rows_of(task, train=12, test=6, seed=1).train != first.train, task.name


def test_what_is_tested_is_in_no_training_of_any_seed(tasks):
    for task in tasks[::SOME]:
        drawn = [rows_of(task, train=40, test=15, seed=seed) for seed in (0, 1)]
        trained, tested = (
            {_key(text) for rows in drawn for text, _ in part(rows)} for part in (lambda r: r.train, lambda r: r.test)
        )
        assert trained, task.name
        assert tested, task.name
        assert not trained & tested, task.name


def test_an_input_has_one_answer(tasks):
    for task in tasks[::SOME]:
        answers = {}
        for seed in range(80):
            text, answer = task.draw(Random(seed))
            assert answers.setdefault(text, answer) == answer, task.name
            assert bool(text) == bool(answer), task.name


FIRST_ROWS = {
    "date-write-id": ("2033-12-10", "10 Desember 2033"),
    "date-read-ru": ("18 февраля 1990 г.", "1990-02-18"),
    "from-now-id": ("in 20 minutes", "dalam 20 menit"),
    "money-write-de": ("BRL 77927.50", "77.927,50 R$"),
    "plural-ru": ("27", "many"),
    "words-number-id": ("lima puluh lima", "55"),
    "number-words-de": ("7", "sieben"),
    "list-id": ("Jepang; Komoro; Siprus", "Jepang, Komoro, dan Siprus"),
    "romanise-el": ("Μάμπα", "Mampa"),
    "phone-abroad-id": ("0887075593", "+62 887-075-593"),
    "style-snake-camel": ("kind_cheap_drum", "kindCheapDrum"),
    "form-csv-json": ("Emma,button,high", '{"name": "Emma", "item": "button", "note": "high"}'),
    "digits-roman": ("1465", "MCDLXV"),
    "from-utc-jakarta": ("09:44", "16:44"),
    "date-style-iso-press": ("2030-04-12", "April 12, 2030"),
    "english-plural": ("field", "fields"),
    "script-read-devanagari": ("१९३८", "1938"),
}
"""seed 0, by the pinned libraries; each was looked at"""


@pytest.mark.parametrize(("name", "row"), FIRST_ROWS.items())
def test_rows_are_the_same_everywhere_and_right(tasks, name, row):
    task = next(task for task in tasks if task.name == name)
    assert rows_of(task, train=3, test=1, seed=0).train[0] == row


def test_marks_that_nobody_sees_are_left_out():
    assert plain("1\u202f234,50\u00a0€\u200f  x") == "1 234,50 € x"


def _key(text):
    return Example.of([Message("user", text)], "").key
