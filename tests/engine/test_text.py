"""Stop strings and half characters while an answer grows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chiliad.base import StreamDecoder
from chiliad.engine.text import TextStream


def stream(tiny, *stop):
    return TextStream(StreamDecoder(tiny.tokenizer), stop)


def feed(tiny, text, *stop):
    """Push until the stream stops; returns the stream and what each push released."""
    growing = stream(tiny, *stop)
    pieces = []
    for token in tiny.tokenizer.encode(text):
        pieces.append(growing.push(token))
        if growing.stopped:
            break
    pieces.append(growing.flush())
    return growing, pieces


@pytest.mark.parametrize(
    ("text", "stop", "shown"),
    [
        ("one two three", ("two",), "one "),
        ("one two three", ("four",), "one two three"),
        ("aab", ("aab",), ""),
        ("aaab", ("aab",), "a"),
        ("first\n\nsecond", ("\n\n",), "first"),
        ("x END y", ("END y", "END"), "x "),
        ("ababac", ("abac",), "ab"),
        ("naïve café", ("é",), "naïve caf"),
        ("ends in a half sto", ("stop",), "ends in a half sto"),
    ],
)
def test_the_text_ends_before_the_first_stop_string(tiny, text, stop, shown):
    growing, pieces = feed(tiny, text, *stop)
    assert growing.text == shown == "".join(pieces)
    assert growing.stopped is (shown != text)


def test_a_possible_stop_is_held_back(tiny):
    growing = stream(tiny, "stop")
    released = [growing.push(token) for token in tiny.tokenizer.encode("a stork")]
    assert released == ["a", " ", "", "", "", "stor", "k"]


def test_a_character_of_several_bytes_comes_whole(tiny):
    growing = stream(tiny)
    assert [growing.push(token) for token in tiny.tokenizer.encode("é✓")] == ["", "é", "", "", "✓"]


def test_half_a_character_at_the_end_is_marked(tiny):
    growing = stream(tiny, "x")
    for token in tiny.tokenizer.encode("ok ✓")[:-1]:
        growing.push(token)
    assert growing.flush() == "\N{REPLACEMENT CHARACTER}"
    assert growing.text == "ok \N{REPLACEMENT CHARACTER}"


@given(text=st.text("abc", max_size=30), stop=st.lists(st.text("abc", min_size=1, max_size=4), max_size=3))
def test_whatever_the_stops_nothing_after_them_is_shown(tiny, text, stop):
    growing, pieces = feed(tiny, text, *stop)
    # the stop string that is complete first ends the answer; where two are complete at once, the longer
    ends = [text.index(s) + len(s) for s in stop if s in text]
    if ends:
        seen = text[: min(ends)]
        assert growing.text == seen[: min(seen.index(s) for s in stop if s in seen)]
    else:
        assert growing.text == text
    assert "".join(pieces) == growing.text
    assert not any(s in growing.text for s in stop)
