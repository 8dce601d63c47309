"""English words in other forms, by the rules of inflect."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from random import Random

from inflect import engine

from tasks.task import Pair, Task
from tasks.vocabulary import ADJECTIVES, NOUNS, VERBS


def tasks() -> Iterator[Task]:
    told: dict[str, tuple[str, Callable[[Random], Pair]]] = {
        "plural": ("Give the plural.", partial(_noun, lambda noun: _plural(noun))),
        "singular": ("Give the singular.", lambda random: _noun(_plural, random)[::-1]),
        "article": ("Put a or an before it.", partial(_phrase, lambda text: _inflect().a(text))),
        "doing": ("Give the form with -ing.", partial(_verb, lambda verb: _inflect().present_participle(verb))),
        "counted": ("Write how many there are.", _counted),
        "number-words": ("Write this number in words.", partial(_number, 9_999, _words)),
        "words-number": ("Give this number in digits.", lambda random: _number(9_999, _words, random)[::-1]),
        "ordinal-words": ("Write this as an ordinal in words.", partial(_number, 199, _ordinal)),
        "no-of": ("Say that there are none.", partial(_noun, lambda noun: _inflect().no(noun))),
        "joined": ("Join these with commas and and.", _joined),
        "possessive": ("Say that it belongs to them.", _possessive),
    }
    for name, (said, draw) in told.items():
        yield Task(f"english-{name}", "english", "en", said, ("inflect",), draw)


def _noun(of: Callable[[str], str], random: Random) -> Pair:
    noun = random.choice(NOUNS)
    return noun, of(noun)


def _verb(of: Callable[[str], str], random: Random) -> Pair:
    verb = random.choice(VERBS)
    return verb, of(verb)


def _phrase(of: Callable[[str], str], random: Random) -> Pair:
    text = f"{random.choice(ADJECTIVES)} {random.choice(NOUNS)}"
    return text, of(text)


def _counted(random: Random) -> Pair:
    noun, number = random.choice(NOUNS), random.choice((1, random.randint(2, 10), random.randint(2, 99)))
    return f"{noun} x {number}", f"{_words(number)} {_inflect().plural(noun, number)}"


def _number(most: int, of: Callable[[int], str], random: Random) -> Pair:
    number = random.choice((random.randint(1, 99), random.randint(1, most)))
    return str(number), of(number)


def _joined(random: Random) -> Pair:
    words = random.sample(NOUNS, random.choice((2, 3, 4)))
    return " ".join(words), _inflect().join(words)


def _possessive(random: Random) -> Pair:
    owner, noun = random.choice(NOUNS), random.choice(NOUNS)
    plural = _plural(owner)
    return f"{plural}: {noun}", f"the {plural}{'’' if plural.endswith('s') else '’s'} {noun}"


def _plural(noun: str) -> str:
    return str(_inflect().plural_noun(noun))


def _words(number: int) -> str:
    return str(_inflect().number_to_words(number, andword=""))  # type: ignore[arg-type]


def _ordinal(number: int) -> str:
    return str(_inflect().ordinal(_words(number)))


@cache
def _inflect() -> engine:
    return engine()
