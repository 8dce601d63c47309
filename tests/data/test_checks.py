import json

import pytest

from chiliad.data import Example, Finding, Message, TaskKind, assemble, check
from chiliad.data.personal import PersonalKind
from chiliad.errors import UnusableData

NONE = Finding(0, ())


def example(text, answer, group=None):
    return Example.of([Message("user", text)], answer, group)


def tickets(rows=60):
    return [example(f"Ticket number {n}", ("refund", "delivery")[n % 2]) for n in range(rows)]


def test_clean_data_has_no_findings():
    report = check(tickets())
    assert (report.rows, report.usable, report.kind) == (60, 60, TaskKind.LABELS)
    assert report.labels == {"delivery": 30, "refund": 30}
    assert report.empties == report.duplicates == report.contradictions == report.overlong == NONE
    assert set(report.personal.values()) == {NONE}
    assert report.overlap is None
    assert report.labels_unseen is None
    assert report.problem is None
    assert report.dataset == assemble(tickets(), source="")


def test_each_finding_counts_rows_and_names_the_first_ones():
    report = check(
        [
            *tickets(),
            example("", "refund"),  # 61
            example("no answer", " "),  # 62
            example("Ticket number 0", "refund"),  # 63, repeats row 1
            example("TICKET number 1", "refund"),  # 64, contradicts row 2
            example("x" * 9000, "delivery"),  # 65
            example("mail to jan@example.org", "refund"),  # 66
            example("ring +31 20 624 1111", "delivery"),  # 67
            *[example("a@example.org " + "!" * n, "refund") for n in range(9)],  # 68 to 76
        ]
    )
    assert (report.rows, report.usable) == (76, 74)
    assert report.empties == Finding(2, (61, 62))
    assert report.duplicates == Finding(1, (63,))
    assert report.contradictions == Finding(2, (2, 64))
    assert report.overlong == Finding(1, (65,))
    assert report.personal[PersonalKind.EMAIL] == Finding(10, (66, 68, 69, 70, 71))
    assert report.personal[PersonalKind.PHONE] == Finding(1, (67,))


def test_personal_data_in_answers_and_earlier_turns_counts():
    turns = [Message("user", "I am jan@example.org"), Message("assistant", "Hello"), Message("user", "Hi")]
    report = check([Example.of(turns, "Hi"), example("Who?", "DE89370400440532013000")])
    assert report.personal[PersonalKind.EMAIL].rows == (1,)
    assert report.personal[PersonalKind.IBAN].rows == (2,)


def test_no_value_that_was_found_is_in_the_report():
    report = json.dumps(check([*tickets(), example("secret.person@example.org", "refund")]).to_json())
    assert "secret" not in report


def test_tokens_are_counted_where_a_counter_is_given():
    words = [example("word " * 600, "refund")]
    assert check(words, tokens_max=700).overlong == Finding(1, (1,))  # 3,000 bytes are about 750 tokens
    counted = check(words, tokens_max=700, count_tokens=lambda text: len(text.split()))
    assert counted.overlong == NONE
    assert not counted.tokens_estimated


def test_overlap_with_a_test_file_is_reported_by_input_and_group():
    rows = [*tickets(), example("alone", "refund", "customer 1"), example("also alone", "refund", "customer 1")]
    test = [example("ticket NUMBER 3", "refund"), example("new", "complaint", "customer 1"), example("", "refund")]
    report = check(rows, test=test)
    assert report.overlap == Finding(3, (4, 61, 62))
    assert report.labels_unseen == ("complaint",)
    assert report.dataset is not None
    assert len(report.dataset.test) == 2


def test_labels_unseen_are_told_of_closed_sets_only():
    texts = [example(f"text {n}", f"answer {n}") for n in range(30)]
    assert check(texts, test=[example("new", "new")]).labels_unseen == ()


def test_labels_written_in_several_ways_are_noticed():
    answers = ["Refund", "refund", "Delivery", "other"]
    report = check([example(f"text {n}", answers[n % 4]) for n in range(40)])
    assert report.labels_alike == (("Refund", "refund"),)


@pytest.mark.parametrize(
    "examples", [[], tickets(5), [example("", "")] * 30, [example(f"text {n}", "same") for n in range(50)]]
)
def test_a_problem_is_reported_and_not_raised(examples):
    report = check(examples)
    assert isinstance(report.problem, UnusableData)
    assert report.dataset is None
    assert report.to_json()["problem"]["code"] == "unusable_data"


def test_the_report_is_plain_json():
    report = check([*tickets(), example("a@example.org", "refund")], test=tickets(3)).to_json()
    assert json.loads(json.dumps(report))["personal"]["email"] == {"count": 1, "rows": [61]}
    assert report["overlap"]["count"] == 3
    assert report["dataset"]["test"] == 3
    assert report["problem"] is None
