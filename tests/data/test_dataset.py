import hashlib
import json
import multiprocessing
from dataclasses import replace

import pytest

from chiliad.data import Dataset, Example, Message, TaskKind, amend, assemble, freeze, read_table, renew
from chiliad.data.dataset import ROWS_MIN
from chiliad.errors import StoreError, UnreadableFile, UnusableData


def example(text, answer, group=None):
    return Example.of([Message("user", text)], answer, group)


def tickets(rows=60):
    labels = ("refund", "delivery", "other")
    return [example(f"Ticket number {n}: tolong!", labels[n % 3], f"customer {n // 2}") for n in range(rows)]


def test_a_frozen_dataset_comes_back_as_it_was(tmp_path):
    odd = [example("line one\r\nline \u2028two ", ' {"b": 1} \t', None), example("x" * 1000, "ü\x00", "g")]
    conversation = Example.of([Message("system", "Be kind."), Message("assistant", "Hi"), Message("user", "?")], "Yes")
    frozen = freeze([*tickets(), *odd, conversation], tmp_path, source="tickets.csv", instruction="Sort it.\n")
    assert Dataset.load(tmp_path, frozen.hash) == frozen
    assert Dataset.load(tmp_path, frozen.hash[:12]) == frozen
    assert {one.id for one in odd} < {one.id for part in (frozen.train, frozen.dev, frozen.test) for one in part}


def test_what_a_dataset_says_of_itself(tmp_path):
    frozen = freeze(tickets(), tmp_path, source="tickets.csv")
    assert frozen.kind is TaskKind.LABELS
    assert frozen.labels == ("delivery", "other", "refund")
    assert (len(frozen.train), len(frozen.dev), len(frozen.test)) == (34, 8, 18)
    about = json.loads((tmp_path / frozen.hash[:12] / "dataset.json").read_text())
    assert about["rows"] == {"train": 34, "dev": 8, "test": 18}
    assert about["hash"] == frozen.hash


def test_the_hash_of_known_rows_is_known():
    """If this fails, the same file no longer gives the same dataset: don't change the hash, undo the change."""
    assert assemble(tickets(), source="").hash == "00f651a5b0ea693ad3abe1518c162f2d563613f9ed40444215358dfab163231d"
    around = assemble(tickets(), test=tickets(6), source="", instruction="Sort it.")
    assert around.hash == "b9034d0801fca401a6fd22c9741ec0031aedf7f5c8192b2218da57088c0959f5"


def test_content_makes_the_hash_and_the_name_of_the_source_does_not(tmp_path):
    frozen = freeze(tickets(), tmp_path, source="a.csv")
    assert freeze([*reversed(tickets()), *tickets(5)], tmp_path, source="b.csv") == frozen
    assert len(list(tmp_path.iterdir())) == 1
    others = [
        assemble(tickets(), source="", instruction="Sort."),
        assemble([*tickets(), example("one more", "other")], source=""),
        assemble([replace(one, group=None) for one in tickets()], source=""),
        assemble(tickets(), test=tickets(5), source=""),
    ]
    assert len({frozen.hash, *(one.hash for one in others)}) == 5


def test_examples_file_alone_is_a_chat_log_with_hash_and_split(tmp_path):
    frozen = freeze(tickets(), tmp_path, source="a.csv", instruction="Sort.")
    path = tmp_path / frozen.hash[:12] / "examples.jsonl"
    rows = read_table(path).rows
    assert [row["id"] for row in rows if row["split"] == "test"] == [one.id for one in frozen.test]
    assert rows[0]["messages"][-1] == {"role": "assistant", "content": frozen.train[0].answer}
    head = b'["chiliad-dataset-1", "Sort."]\n'
    assert hashlib.sha256(head + path.read_bytes()).hexdigest() == frozen.hash


def test_given_test_rows_are_the_test_and_leave_training(tmp_path):
    test = [*tickets(10), example("never seen", "unseen label"), example("", "other")]
    frozen = freeze(tickets(), tmp_path, test=test, source="a.csv")
    assert {one.id for one in frozen.test} == {one.id for one in test if one.usable}
    assert len(frozen.train) + len(frozen.dev) == 50
    assert "unseen label" not in frozen.labels


def test_unusable_rows_are_left_out():
    frozen = assemble([*tickets(), example(" ", "refund"), example("no answer", "")], source="")
    assert all(one.usable for part in (frozen.train, frozen.dev, frozen.test) for one in part)


@pytest.mark.parametrize(
    ("examples", "cause"),
    [
        ([], "There are 0 different rows"),
        (tickets(ROWS_MIN - 1), f"There are {ROWS_MIN - 1} different rows"),
        (tickets(10) * 10, "There are 10 different rows"),
        ([example(f"text {n}", "same") for n in range(100)], "All rows have the same answer"),
        ([example(f"text {n}", f"answer {n}", "one group") for n in range(100)], "only 1 different inputs or groups"),
    ],
)
def test_unusable_data_is_refused_and_nothing_is_written(tmp_path, examples, cause):
    with pytest.raises(UnusableData) as caught:
        freeze(examples, tmp_path, source="a.csv")
    assert cause in caught.value.cause
    assert caught.value.fix
    assert not list(tmp_path.iterdir())


def test_training_rows_must_remain_beside_the_test():
    with pytest.raises(UnusableData, match="beside those that the test has too"):
        assemble(tickets(), test=tickets(50), source="")
    with pytest.raises(UnusableData, match="test file has no usable row"):
        assemble(tickets(), test=[example("question", "")], source="")


def test_a_missing_dataset_is_named(tmp_path):
    with pytest.raises(UnreadableFile, match="There is no dataset 0123456789ab"):
        Dataset.load(tmp_path, "0123456789ab")


@pytest.mark.parametrize("name", ["examples.jsonl", "dataset.json"])
@pytest.mark.parametrize(
    "harm", [lambda old: old[:-20], lambda old: old.replace(b"other", b"OTHER"), lambda _: b"\xff"]
)
def test_a_changed_dataset_is_refused(tmp_path, name, harm):
    frozen = freeze(tickets(), tmp_path, source="a.csv", instruction="other")
    path = tmp_path / frozen.hash[:12] / name
    path.write_bytes(harm(path.read_bytes()))
    with pytest.raises(UnreadableFile, match="was changed or damaged"):
        Dataset.load(tmp_path, frozen.hash)


def test_a_hash_that_only_begins_alike_is_refused(tmp_path):
    frozen = freeze(tickets(), tmp_path, source="a.csv")
    with pytest.raises(UnreadableFile, match="does not belong to its hash"):
        Dataset.load(tmp_path, frozen.hash[:-1] + ("0" if frozen.hash[-1] != "0" else "1"))


def freeze_and_tell(root, barrier, results):
    barrier.wait(timeout=60)
    results.put(freeze(tickets(), root, source="a.csv").hash)


def test_two_processes_may_freeze_the_same_data_at_once(tmp_path):
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(2), context.Queue()
    writers = [context.Process(target=freeze_and_tell, args=(tmp_path, barrier, results)) for _ in range(2)]
    for writer in writers:
        writer.start()
    hashes = {results.get(timeout=60) for _ in writers}
    for writer in writers:
        writer.join(timeout=60)
    assert hashes == {assemble(tickets(), source="").hash}
    assert [path.name for path in tmp_path.iterdir()] == [hashes.pop()[:12]]


def test_a_full_disk_leaves_nothing_behind(small_disk):
    examples = [example(f"{n} " + "x" * 3000, f"answer {n}") for n in range(1000)]
    with pytest.raises(StoreError, match="disk is full"):
        freeze(examples, small_disk, source="a.csv")
    assert not list(small_disk.iterdir())


def _dataset(tmp_path, count=60):
    rows = [Example.of([Message("user", f"question {n}")], "ab"[n % 2]) for n in range(count)]
    return rows, freeze(rows, tmp_path, source="first.csv")


def test_the_same_table_again_is_the_same_dataset(tmp_path):
    rows, first = _dataset(tmp_path)
    assert renew(first, rows, tmp_path, source="first.csv") == first


def test_a_grown_table_moves_no_row_between_parts(tmp_path):
    rows, first = _dataset(tmp_path)
    more = [Example.of([Message("user", f"new question {n}")], "ab"[n % 2]) for n in range(40)]
    grown = renew(first, [*more, *rows], tmp_path, source="second.csv")
    assert (grown.test, grown.dev) == (first.test, first.dev)
    assert {e.id for e in grown.train} == {e.id for e in (*first.train, *more)}
    assert Dataset.load(tmp_path, grown.hash) == grown


def test_a_relabelled_table_leaves_the_test_answers_alone(tmp_path):
    rows, first = _dataset(tmp_path)
    turned = [Example.of(row.messages, {"a": "b", "b": "a"}[row.answer]) for row in rows]
    again = renew(first, turned, tmp_path, source="turned.csv")
    assert again.test == first.test
    assert {e.key for e in again.train} == {e.key for e in first.train}
    assert not {e.id for e in again.train} & {e.id for e in first.train}


def test_corrections_go_to_training_and_never_touch_the_test(tmp_path):
    _, first = _dataset(tmp_path)
    asked = [
        Example.of([Message("user", "something else")], "a"),
        Example.of(first.train[0].messages, "b" if first.train[0].answer == "a" else "a"),
        Example.of(first.dev[0].messages, "b"),
        Example.of(first.test[0].messages, "b"),
        Example.of([Message("user", "no answer")], " "),
    ]
    amended = amend(first, asked, tmp_path, source="corrected")
    assert {e.id for e in amended.used} == {e.id for e in asked[:3]} <= {e.id for e in amended.dataset.train}
    assert (amended.of_test_rows, amended.blank) == (1, 1)
    assert amended.dataset.test == first.test
    assert {e.key for e in amended.dataset.dev} == {e.key for e in first.dev[1:]}


def test_corrections_of_test_rows_only_are_refused(tmp_path):
    _, first = _dataset(tmp_path)
    with pytest.raises(UnusableData, match="tested on"):
        amend(first, [Example.of(first.test[0].messages, "b")], tmp_path, source="corrected")


def _closed_set(tmp_path, labels=20):
    """Each label only just often enough to be one of a closed set."""
    rows = [example(f"text {n}", f"label {n % labels}") for n in range(labels * 3)]
    return rows, freeze(rows, tmp_path, source="first.csv")


def test_one_correction_or_one_new_row_leaves_a_closed_set_closed(tmp_path):
    rows, first = _closed_set(tmp_path)
    corrected = example(first.train[0].input, first.train[1].answer)
    after = amend(first, [corrected], tmp_path, source="corrected").dataset
    grown = renew(first, [*rows, example("one more", "label 0")], tmp_path, source="grown.csv")
    for dataset in (after, grown):
        assert (dataset.kind, dataset.labels) == (TaskKind.LABELS, first.labels)


def test_corrections_with_rare_answers_leave_a_closed_set_closed_unless_one_could_be_no_label(tmp_path):
    _, first = _closed_set(tmp_path)
    odd = [example(f"odd {n}", f"mistyped {n}") for n in range(9)]
    after = amend(first, odd, tmp_path, source="odd").dataset
    assert (after.kind, set(after.labels)) == (TaskKind.LABELS, {*first.labels, *(one.answer for one in odd)})
    told = amend(first, [example("why", "Because.\nAnd so on.")], tmp_path, source="told").dataset
    assert (told.kind, told.labels) == (TaskKind.TEXT, ())


def test_a_closed_set_stays_closed_when_all_its_labels_get_other_names(tmp_path):
    rows, first = _closed_set(tmp_path)
    renamed = [example(row.input, row.answer.replace("label", "class")) for row in rows]
    more = [example(f"more {n}", f"class {n % 20}") for n in range(60)]
    again = renew(first, [*renamed, *more], tmp_path, source="renamed.csv")
    assert (again.kind, len(again.labels)) == (TaskKind.LABELS, 20)


def _apart(one, other):
    """Whether the two have no group in common."""
    return not {row.group for row in one} & {row.group for row in other}


def test_new_rows_of_a_group_go_where_the_group_is(tmp_path):
    rows = [example(f"question {n}", "ab"[n % 2], f"group {n}") for n in range(100)]
    more = [example(f"new question {n}", "ab"[n % 2], f"group {n}") for n in range(100)]
    first = freeze(rows, tmp_path, source="first.csv")
    grown = renew(first, [*rows, *more], tmp_path, source="grown.csv")
    assert grown.test == first.test
    assert _apart(grown.train, grown.dev)
    assert _apart((*grown.train, *grown.dev), grown.test)
    assert (len(grown.train), len(grown.dev)) == (2 * len(first.train), 2 * len(first.dev))


def test_groups_that_are_named_only_now_stay_together_too(tmp_path):
    rows = [example(f"question {n}", "ab"[n % 2]) for n in range(120)]
    first = freeze(rows, tmp_path, source="first.csv")
    named = [replace(row, group=f"group {n // 2}") for n, row in enumerate(rows)]
    again = renew(first, named, tmp_path, source="first.csv")
    groups = {row.key: row.group for row in named}
    assert again.test == first.test
    tested = {groups[row.key] for row in again.test}
    assert not tested & {row.group for row in (*again.train, *again.dev)}
    assert _apart(again.train, again.dev)
    one_group = [replace(row, group="one") for row in rows]
    with pytest.raises(UnusableData, match=r"There are 0 different rows .* beside the test rows"):
        renew(first, one_group, tmp_path, source="first.csv")
    beside = {row.key for row in first.test}
    one_group = [row for row in one_group if row.key not in beside]
    with pytest.raises(UnusableData, match="group with a row that is held out for development"):
        renew(first, one_group, tmp_path, source="first.csv")
