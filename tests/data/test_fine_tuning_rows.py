"""Conversations of a fine-tuning file, and which of their turns are learned."""

import json

import pytest

from chiliad.data import learned_turns, table_from_rows
from chiliad.errors import UnreadableFile

TALK = [
    {"role": "user", "content": "a"},
    {"role": "assistant", "content": "b", "weight": 0},
    {"role": "user", "content": "c"},
    {"role": "assistant", "content": "d"},
]


def table(messages):
    return table_from_rows([{"messages": messages}], source="talk.jsonl")


def test_messages_written_as_json_text_are_the_same_conversation():
    rows, group = learned_turns(table(TALK))
    as_text, same = learned_turns(table(json.dumps(TALK)))
    assert [row["messages"] for row in rows.rows] == [row["messages"] for row in as_text.rows] == [TALK]
    assert group == same


@pytest.mark.parametrize("messages", ["[", '"user"', "[]", json.dumps(TALK[:2]), '["a"]'])
def test_what_no_conversation_is_made_of_is_told_with_its_row(messages):
    with pytest.raises(UnreadableFile, match=r"talk\.jsonl, row 1"):
        learned_turns(table(messages))
