import pytest

from chiliad.data import Columns, find_columns, table_from_rows
from chiliad.errors import ColumnsNotFound


def table(*names, **values):
    return table_from_rows([{name: values.get(name, f"some {name}") for name in names}], "tickets.csv")


@pytest.mark.parametrize(
    ("names", "inputs", "output"),
    [
        (("prompt", "completion"), ("prompt",), "completion"),
        (("output", "input", "id"), ("input",), "output"),
        (("Text", "LABEL", "domain"), ("Text",), "LABEL"),
        (("question", "answer", "title", "category"), ("question",), "answer"),
        (("review", "stars", "sentiment"), ("review",), "sentiment"),
        (("instruction", "input", "output"), ("instruction", "input"), "output"),
        (("id", "question", "context", "answer"), ("context", "question"), "answer"),
        (("premise", "hypothesis", "label"), ("premise", "hypothesis"), "label"),
        (("Dutch", "English"), ("Dutch",), "English"),
        (("unnamed 1", "ID", "Dutch", "English"), ("Dutch",), "English"),
    ],
)
def test_columns_are_found(names, inputs, output):
    assert find_columns(table(*names)) == Columns(inputs, output)


def test_chat_messages_are_found_and_come_first():
    assert find_columns(table("messages", "prompt", "completion")) == Columns((), None, messages="messages")


def test_named_columns_win_over_chat_messages():
    assert find_columns(table("messages", "a", "b"), input="a", output="b") == Columns(("a",), "b")


def test_named_columns_in_any_case_and_number():
    found = find_columns(table("Subject", "Body", "Team", "Customer"), input=["body", "subject"], output="TEAM")
    assert found == Columns(("Body", "Subject"), "Team")
    assert str(found) == "input: Body + Subject · answer: Team"


def test_an_exact_name_wins_over_one_in_another_case():
    assert find_columns(table("A", "a", "b"), input="a", output="b").inputs == ("a",)


def test_one_named_column_leaves_the_other_to_be_found():
    assert find_columns(table("subject", "body", "team"), input="subject", output="team").output == "team"
    assert find_columns(table("note", "team"), output="team").inputs == ("note",)
    assert find_columns(table("note", "team"), input="note").output == "team"
    assert find_columns(table("a", "b", "label"), input="a").output == "label"


def test_a_group_is_only_taken_when_named():
    assert find_columns(table("text", "label", "group")).group is None
    found = find_columns(table("text", "label", "customer"), group="Customer")
    assert found == Columns(("text",), "label", group="customer")
    assert find_columns(table("a", "b", "c"), group="b") == Columns(("a",), "c", group="b")


@pytest.mark.parametrize(
    "names", [("a", "b", "c"), ("only",), ("text", "category", "sentiment"), ("title", "body", "priority", "topic_id")]
)
def test_unclear_columns_are_refused_with_their_names_and_the_options(names):
    with pytest.raises(ColumnsNotFound) as caught:
        find_columns(table(*names))
    assert all(repr(name) in caught.value.cause for name in names)
    assert "--input" in caught.value.fix
    assert "--output" in caught.value.fix


def test_the_example_in_the_error_names_the_likeliest_columns():
    with pytest.raises(ColumnsNotFound, match="--input 'text' --output 'slots'"):
        find_columns(table("requested", "text", "slots"))


def test_a_missing_column_is_refused_with_the_nearest_name():
    with pytest.raises(ColumnsNotFound) as caught:
        find_columns(table("message", "team"), input="mesage")
    assert caught.value.cause == "tickets.csv has no column 'mesage'. Did you mean 'message'?"
    assert caught.value.fix == "It has: 'message', 'team'."


def test_one_column_cannot_be_both():
    with pytest.raises(ColumnsNotFound, match="named as input and as output"):
        find_columns(table("a", "b"), input="a", output="a")


def test_a_file_without_column_names_is_noticed():
    rows = [
        {"I want my money back": "Where is it?", "refund": "delivery"},
        {"I want my money back": "x", "refund": "refund"},
    ]
    with pytest.raises(ColumnsNotFound, match="begins with a row of data"):
        find_columns(table_from_rows(rows))


def test_many_columns_are_not_all_listed():
    with pytest.raises(ColumnsNotFound, match="and 980 more"):
        find_columns(table(*(f"column {number}" for number in range(1000))))
