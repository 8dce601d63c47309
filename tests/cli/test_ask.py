"""`chiliad ask`: one answer on standard output, and nothing else."""

import io
import json
import sys

import pytest

from chiliad.cli import main


def test_the_answer_alone_is_printed(chiliad, live):
    asked = chiliad("ask", "tickets", "where is box 3")
    assert asked.code == 0, asked.err
    assert asked.out in {"status\n", "refund\n", "damage\n"}
    assert asked.err == ""
    told = json.loads(chiliad("ask", "tickets@1", "where is box 3", "--json").out)
    assert told == {"expert": "tickets@1", "answer": asked.out.strip()}


def test_the_input_can_come_from_standard_input(chiliad, live, monkeypatch):
    said = chiliad("ask", "tickets", "wo ist Kiste 3?\nBitte ✓").out
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("wo ist Kiste 3?\nBitte ✓\n".encode())))
    assert chiliad("ask", "tickets", "-").out == said
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9")))
    chiliad("ask", "tickets", "-").refused("not UTF-8")


def test_a_random_answer_is_repeatable(chiliad, live):
    random = ("ask", "tickets", "where", "--temperature", "5", "--seed", "3")
    assert chiliad(*random).out == chiliad(*random).out


@pytest.mark.parametrize(
    ("reference", "cause"),
    [
        ("tikets", "no expert 'tikets'"),
        ("tickets@9", "no version tickets@9"),
        ("tickets@x", "is not an expert"),
        ("", "is not an expert"),
    ],
)
def test_an_unknown_expert_is_named_with_what_there_is(chiliad, live, reference, cause):
    asked = chiliad("ask", reference, "hello")
    asked.refused(cause)
    assert asked.out == ""
    assert "tickets" in asked.err


@pytest.mark.parametrize(
    ("text", "options", "cause"),
    [
        ("x" * 5000, (), "has 5,?0\\d\\d,"),
        ("hello", ("--temperature", "inf"), "temperature"),
    ],
)
def test_what_cannot_be_asked(chiliad, live, text, options, cause):
    chiliad("ask", "tickets", text, *options).refused(cause)


def test_the_end_of_the_reader_is_no_error(live, chiliad, monkeypatch):
    """`chiliad ask ... | head -0` closes standard output early."""

    class Closed(io.StringIO):
        def write(self, _):
            raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(sys, "stdout", Closed())
    with pytest.raises(SystemExit) as end:
        main(["ask", "tickets", "hello"])
    assert end.value.code == 1


def test_an_answer_without_a_server_is_in_the_ledger_too(chiliad, live):
    chiliad("ask", "tickets", "where is box 3")
    told = json.loads(chiliad("costs", "--json").out)
    assert [one["of"] for one in told["keys"]] == ["by-hand"]
    (expert,) = told["experts"]
    assert (expert["of"], expert["answers"]) == ("tickets@1", 1)
    assert expert["machine_s"] > 0
    assert expert["cost"] > 0
    first = told["trainings"][0]["first"]
    assert first["cost"] == pytest.approx(first["machine_s"] * told["machine_per_hour"] / 3600, rel=0.05)
    told = chiliad("costs").out
    assert "a person" in told
    assert "tickets: the first training took" in told
