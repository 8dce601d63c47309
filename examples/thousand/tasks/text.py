"""Text that programmers and office people rewrite by hand: names in styles, people's names, words in order, letters."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import permutations
from random import Random

from tasks.task import Pair, Task
from tasks.vocabulary import NOUNS, nouns, person, phrase

STYLES: dict[str, Callable[[list[str]], str]] = {
    "words": " ".join,
    "snake": "_".join,
    "kebab": "-".join,
    "dot": ".".join,
    "path": "/".join,
    "camel": lambda words: words[0] + "".join(map(str.capitalize, words[1:])),
    "pascal": lambda words: "".join(map(str.capitalize, words)),
    "constant": lambda words: "_".join(words).upper(),
    "title": lambda words: " ".join(map(str.capitalize, words)),
    "upper": lambda words: " ".join(words).upper(),
}
PEOPLE: dict[str, tuple[str, Callable[[str, str], str]]] = {
    "last-first": ("Put the last name first, with a comma.", lambda first, last: f"{last}, {first}"),
    "initials": ("Give the initials.", lambda first, last: f"{first[0]}.{last[0]}."),
    "first-short": ("Shorten the first name.", lambda first, last: f"{first[0]}. {last}"),
    "last-short": ("Shorten the last name.", lambda first, last: f"{first} {last[0]}."),
    "login": ("Make a login name: first letter and last name.", lambda first, last: (first[0] + last).lower()),
    "login-dot": ("Make a login name with a dot.", lambda first, last: f"{first}.{last}".lower()),
    "login-last": ("Make a login name: last name and first letter.", lambda first, last: (last + first[0]).lower()),
    "mail": ("Make the e-mail address at example.org.", lambda first, last: f"{first}.{last}@example.org".lower()),
    "shout": ("Write the last name in capitals.", lambda first, last: f"{first} {last.upper()}"),
    "greet": ("Begin a letter to this person.", lambda first, last: f"Dear {first},"),
    "greet-id": ("Begin a letter in Indonesian.", lambda first, last: f"Yth. Bapak/Ibu {last},"),
    "badge": ("Write a badge.", lambda first, last: f"{last.upper()}/{first.upper()}"),
}
ORDERS: dict[str, tuple[str, Callable[[list[str]], str]]] = {
    "sort": ("Sort these words.", lambda words: " ".join(sorted(words))),
    "sort-back": ("Sort these words from Z to A.", lambda words: " ".join(sorted(words, reverse=True))),
    "reverse": ("Put these words in the opposite order.", lambda words: " ".join(reversed(words))),
    "swap-ends": ("Swap the first and the last word.", lambda words: " ".join([words[-1], *words[1:-1], words[0]])),
    "first": ("Give the first word.", lambda words: words[0]),
    "second": ("Give the second word.", lambda words: words[1]),
    "third": ("Give the third word.", lambda words: words[2]),
    "last": ("Give the last word.", lambda words: words[-1]),
    "before-last": ("Give the word before the last.", lambda words: words[-2]),
    "drop-first": ("Leave out the first word.", lambda words: " ".join(words[1:])),
    "drop-last": ("Leave out the last word.", lambda words: " ".join(words[:-1])),
    "rotate": ("Move the first word to the end.", lambda words: " ".join([*words[1:], words[0]])),
    "first-in-alphabet": ("Give the word that comes first in the alphabet.", min),
    "last-in-alphabet": ("Give the word that comes last in the alphabet.", max),
    "count": ("Count the words.", lambda words: str(len(words))),
    "acronym": ("Make an acronym.", lambda words: "".join(word[0].upper() for word in words)),
    "bullets": ("Number these words.", lambda words: " ".join(f"{n}. {word}" for n, word in enumerate(words, 1))),
    "quoted": ("Put each word in quotes.", lambda words: ", ".join(f'"{word}"' for word in words)),
    "repeated": ("Say the first word again at the end.", lambda words: " ".join([*words, words[0]])),
    "capital-last": ("Write the last word in capitals.", lambda words: " ".join([*words[:-1], words[-1].upper()])),
}
NATO = (
    "Alfa Bravo Charlie Delta Echo Foxtrot Golf Hotel India Juliett Kilo Lima Mike November Oscar Papa Quebec Romeo "
    "Sierra Tango Uniform Victor Whiskey X-ray Yankee Zulu"
).split()
MORSE = (
    ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --.."
).split()
SHIFTS = (1, 2, 3, 5, 13, 25)


def tasks() -> Iterator[Task]:
    for given, wanted in permutations(STYLES, 2):
        name, said = f"style-{given}-{wanted}", f"Turn {given} style into {wanted} style."
        yield Task(name, "style", "en", said, ("python",), partial(_style, given, wanted))
    for name, (said, of) in PEOPLE.items():
        yield Task(f"person-{name}", "person", "en", said, ("python",), partial(_person, of))
    for name, (said, of_words) in ORDERS.items():
        yield Task(f"order-{name}", "order", "en", said, ("python",), partial(_order, of_words))
    yield from _letters()


def _letters() -> Iterator[Task]:
    of_words: dict[str, tuple[str, Callable[[str], str]]] = {
        "spell": ("Spell this word.", "-".join),
        "spell-capitals": ("Spell this word in capitals.", lambda word: " ".join(word.upper())),
        "spell-reversed": ("Spell this word backwards.", lambda word: "-".join(reversed(word))),
        "nato": ("Spell this word over the radio.", lambda word: " ".join(NATO[_place(one)] for one in word)),
        "morse": ("Write this word in Morse code.", lambda word: " ".join(MORSE[_place(one)] for one in word)),
        "numbers": (
            "Give the place of each letter in the alphabet.",
            lambda w: " ".join(str(_place(c) + 1) for c in w),
        ),
        "length": ("Count the letters.", lambda word: str(len(word))),
        "vowels": ("Leave out the vowels.", lambda word: re.sub("[aeiou]", "", word)),
    }
    for name, (said, of) in of_words.items():
        yield Task(f"letters-{name}", "letters", "en", said, ("python",), partial(_word, of))
    unspell: dict[str, tuple[str, Callable[[str], str]]] = {
        "unspell": ("Put these letters together.", "-".join),
        "unnato": ("Which word was spelled?", of_words["nato"][1]),
        "unmorse": ("Which word is this in Morse code?", of_words["morse"][1]),
        "unnumber": ("Which word has these letters?", of_words["numbers"][1]),
    }
    for name, (said, of) in unspell.items():
        yield Task(f"letters-{name}", "letters", "en", said, ("python",), partial(_from_word, of))
    for shift in SHIFTS:
        said = f"Move each letter {shift} on in the alphabet."
        yield Task(f"letters-shift-{shift}", "letters", "en", said, ("python",), partial(_shift, shift))


def _style(given: str, wanted: str, random: Random) -> Pair:
    words = phrase(random, random.choice((2, 3, 3)))
    return STYLES[given](words), STYLES[wanted](words)


def _person(of: Callable[[str, str], str], random: Random) -> Pair:
    first, last = person(random)
    return f"{first} {last}", of(first, last)


def _order(of: Callable[[list[str]], str], random: Random) -> Pair:
    words = nouns(random, random.choice((3, 4, 5)))
    return " ".join(words), of(words)


def _word(of: Callable[[str], str], random: Random) -> Pair:
    word = random.choice(NOUNS)
    return word, of(word)


def _from_word(of: Callable[[str], str], random: Random) -> Pair:
    word = random.choice(NOUNS)
    return of(word), word


def _shift(shift: int, random: Random) -> Pair:
    letters = random.choices("abcdefghijklmnopqrstuvwxyz", k=random.choice((3, 4, 5)))
    moved = [chr(ord("a") + (_place(one) + shift) % 26) for one in letters]
    return " ".join(letters), " ".join(moved)


def _place(letter: str) -> int:
    return ord(letter) - ord("a")
