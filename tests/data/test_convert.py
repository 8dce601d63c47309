import json

import pytest

from chiliad.data import Columns, Example, Message, find_columns, table_from_rows, to_examples
from chiliad.data.table import ROW_CHARS_MAX
from chiliad.errors import UnreadableFile

PAIR = Columns(("text",), "label")
CHAT = Columns((), None, messages="messages")


def convert(rows, columns=PAIR):
    return to_examples(table_from_rows(rows, "a.csv"), columns)


def chat(*turns):
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


def test_a_row_becomes_one_user_message_and_its_answer():
    [example] = convert([{"text": " My card? ", "label": "card\n"}])
    assert example == Example.of([Message("user", "My card?")], "card")
    assert example.input == "My card?"
    assert example.usable


def test_nested_answers_become_compact_json_with_sorted_keys():
    [example] = convert([{"text": "two to Oslo", "label": {"to": "Oslo", "people": 2}}])
    assert example.answer == '{"people":2,"to":"Oslo"}'


def test_several_inputs_are_written_below_each_other_in_the_order_named():
    columns = Columns(("subject", "body"), "team")
    examples = convert([{"body": "It broke.", "subject": "Help", "team": "it"}, {"body": "Hm", "team": "it"}], columns)
    assert [example.input for example in examples] == ["subject: Help\nbody: It broke.", "body: Hm"]


def test_blank_cells_make_examples_that_are_not_usable():
    examples = convert(
        [{"text": " ", "label": "a"}, {"text": "a", "label": None}, {"label": "a"}, {"text": "a", "label": 0}]
    )
    assert [example.usable for example in examples] == [False, False, False, True]


def test_groups_are_text_or_nothing():
    columns = Columns(("text",), "label", group="customer")
    rows = [{"text": "a", "label": "b", "customer": customer} for customer in (17.0, "", None)]
    assert [example.group for example in convert(rows, columns)] == ["17", None, None]


def test_the_last_assistant_turn_is_the_answer():
    turns = [
        ("system", "Be brief."),
        ("user", "Hi"),
        ("assistant", "Hello"),
        ("user", "Card?"),
        ("assistant", " Sent. "),
    ]
    [example] = convert([chat(*turns, ("user", "Thanks"))], CHAT)
    assert example.answer == "Sent."
    assert example.messages == tuple(Message(role, content) for role, content in turns[:-1])
    assert example.input == "Card?"


def test_chats_in_other_spellings():
    parts = [{"type": "text", "text": "What "}, {"type": "text", "text": "now?"}]
    messages = [
        {"role": "developer", "content": "Rules", "name": "x"},
        {"role": "user", "content": parts},
        {"role": "function", "content": "{}"},
        {"role": "assistant", "content": "Wait.", "tool_calls": None, "weight": 1},
    ]
    [as_list, as_text] = convert([{"messages": messages}, {"messages": json.dumps(messages)}], CHAT)
    assert as_list == as_text
    assert as_list.messages == (Message("system", "Rules"), Message("user", "What now?"), Message("tool", "{}"))


def test_a_chat_without_a_question_is_not_usable():
    [example] = convert([chat(("system", "Say hi."), ("assistant", "Hi"))], CHAT)
    assert not example.usable


@pytest.mark.parametrize(
    ("messages", "cause"),
    [
        (None, "not a list of at least one message"),
        ([], "not a list of at least one message"),
        ("[{", "broken JSON"),
        (["hi"], "message 1 is not an object"),
        ([{"role": "user", "content": "Hi"}], "no assistant message"),
        ([{"role": "bot", "content": "Hi"}], "message 1 has the role 'bot'"),
        ([{"role": ["user"], "content": "Hi"}], "message 1 has the role"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "message 1 has parts that are not text"),
        ([{"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}], "message 1 calls a tool"),
    ],
)
def test_broken_chats_are_refused_with_their_row(messages, cause):
    with pytest.raises(UnreadableFile, match=r"a\.csv, row 2: ") as caught:
        convert([chat(("user", "Hi"), ("assistant", "Hello")), {"messages": messages}], CHAT)
    assert cause in caught.value.cause


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("x" * (ROW_CHARS_MAX + 1), "longer than 1,000,000 characters"),
        ("half \ud83d", "half of a character"),
        ("zero \0", "zero character"),
        (b"\x00\x01", "bytes, not text"),
        (json.loads("[" * 900 + "]" * 900), "recursion"),
    ],
)
def test_rows_that_cannot_be_an_example_are_refused_with_their_number(text, cause):
    with pytest.raises(UnreadableFile, match=r"a\.csv, row 2: ") as caught:
        convert([{"text": "fine", "label": "a"}, {"text": text, "label": "b"}])
    assert cause in caught.value.cause
    assert caught.value.fix


def test_ids_follow_from_content_alone():
    rows = [{"text": "a", "label": "b"}, {"label": "b", "text": " a "}, {"text": "a", "label": "c"}]
    first, same, other = convert(rows, find_columns(table_from_rows(rows)))
    assert first.id == same.id != other.id
    assert first.id == "9c9aca89f7fad01a"
    assert Example.of(first.messages, first.answer, "a group").id == first.id


def test_keys_are_equal_for_inputs_that_count_as_the_same():
    first, same, other = (Example.of([Message("user", text)], "x") for text in ("Straße  Ａ", "STRASSE\ta", "straße b"))
    assert first.key == same.key != other.key


def test_keys_cover_the_whole_conversation():
    early, late = Message("user", "Cancel it?"), Message("user", "Yes")
    assert Example.of([early, late], "Done").key != Example.of([late], "Done").key
