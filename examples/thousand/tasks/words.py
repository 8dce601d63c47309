"""Numbers in words and back, by the spelling rules of CLDR."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial
from random import Random

from unicode_rbnf import FormatPurpose, RbnfEngine

from tasks.locales import language
from tasks.task import Pair, Task, plain

SPELLED = (
    "id ms af nl sv sw sq fr de it es pt ro tr da fi et is hu pl cs sk sl hr bs ca lv lt vi fil az cy ga zu lb fo "
    "eo mt qu en fr_BE fr_CH sr_Latn su vec bg ru uk mk be kk ky el he ar fa hi ja ko zh"
).split()
ORDINALS = "id en es fr it pt nl de sv da fi tr ms ca hu ru bg".split()
PURPOSES = {"cardinal": FormatPurpose.CARDINAL, "ordinal": FormatPurpose.ORDINAL}


def tasks() -> Iterator[Task]:
    for code in SPELLED:
        told = partial(_task, code)
        yield told("number-words", "Write this number in {} words.", partial(_spell, code, "cardinal", 999))
        yield told("words-number", "Give this {} number in digits.", partial(_read, code))
    for code in ORDINALS:
        yield _task(code, "ordinal-words", "Write this ordinal in {} words.", partial(_spell, code, "ordinal", 199))


def _task(code: str, family: str, instruction: str, draw: partial[Pair]) -> Task:
    name = f"{family}-{code.lower().replace('_', '-')}"
    return Task(name, family, code, instruction.format(language(code)), ("unicode-rbnf",), draw)


def _spell(code: str, purpose: str, most: int, random: Random) -> Pair:
    number = random.choice((random.randint(0, 99), random.randint(0, most)))
    return str(number), _spelled(code, purpose, number)


def _read(code: str, random: Random) -> Pair:
    text, answer = _spell(code, "cardinal", 999, random)
    return answer, text


@cache
def _spelled(code: str, purpose: str, number: int) -> str:
    return plain(_engine(code).format_number(number, PURPOSES[purpose]).text)


@cache
def _engine(code: str) -> RbnfEngine:
    return RbnfEngine.for_language(code)
