"""Small arithmetic, exact conversions of measures, and other ways to write whole numbers."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from functools import partial
from random import Random

from tasks.task import Pair, Task

Whole = Callable[[int], str]
ADDED = (1, 2, 5, 9, 10, 11, 25, 50, 99, 100, 250, 1000)
FACTORS = (2, 3, 4, 5, 9, 10, 11, 20, 25, 50, 100)
DIVISORS = (2, 3, 4, 5, 9, 10, 25)
ROUNDED = (5, 10, 50, 100, 1000)
SHARES = {"half": 2, "quarter": 4, "tenth": 10, "fifth": 5}
SCRIPTS = (
    "ARABIC-INDIC DEVANAGARI BENGALI GURMUKHI GUJARATI ORIYA TAMIL TELUGU KANNADA MALAYALAM THAI LAO "
    "TIBETAN MYANMAR KHMER MONGOLIAN FULLWIDTH"
).split()
ROMAN = ((1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL"), (10, "X"),
         (9, "IX"), (5, "V"), (4, "IV"), (1, "I"))  # fmt: skip
MEASURES: dict[str, tuple[str, int, Whole]] = {
    "km-m": ("Give these kilometres in metres.", 900, lambda n: f"{n * 1000} m"),
    "m-cm": ("Give these metres in centimetres.", 900, lambda n: f"{n * 100} cm"),
    "m-km": ("Give these metres in kilometres.", 99_999, lambda n: f"{n / 1000:g} km"),
    "cm-m": ("Give these centimetres in metres.", 9_999, lambda n: f"{n / 100:g} m"),
    "mm-cm": ("Give these millimetres in centimetres.", 999, lambda n: f"{n / 10:g} cm"),
    "g-kg": ("Give these grams in kilograms.", 99_999, lambda n: f"{n / 1000:g} kg"),
    "kg-g": ("Give these kilograms in grams.", 900, lambda n: f"{n * 1000} g"),
    "kg-t": ("Give these kilograms in tonnes.", 99_999, lambda n: f"{n / 1000:g} t"),
    "ml-l": ("Give these millilitres in litres.", 99_999, lambda n: f"{n / 1000:g} l"),
    "cl-l": ("Give these centilitres in litres.", 9_999, lambda n: f"{n / 100:g} l"),
    "cent": ("Give these cents in dollars.", 99_999, lambda n: f"${n / 100:.2f}"),
    "percent": ("Give this percentage as a number.", 999, lambda n: f"{n / 100:g}"),
    "minutes": ("Give these minutes in hours and minutes.", 600, lambda n: f"{n // 60} h {n % 60} min"),
    "seconds": ("Give these seconds in minutes and seconds.", 600, lambda n: f"{n // 60}:{n % 60:02}"),
    "days": ("Give these days in weeks and days.", 200, lambda n: f"{n // 7} weeks {n % 7} days"),
    "months": ("Give these months in years and months.", 200, lambda n: f"{n // 12} years {n % 12} months"),
    "inches": ("Give these inches in feet and inches.", 200, lambda n: f"{n // 12} ft {n % 12} in"),
    "dozens": ("Give this number in dozens and the rest.", 200, lambda n: f"{n // 12} dozen and {n % 12}"),
}
WRITTEN: dict[str, tuple[str, int, Whole]] = {
    "roman": ("Write this number in Roman numerals.", 3999, lambda n: roman(n)),
    "thousands": ("Put commas into this number.", 99_999_999, lambda n: f"{n:,}"),
    "thousands-dots": ("Put dots into this number.", 99_999_999, lambda n: f"{n:,}".replace(",", ".")),
    "zeros-5": ("Fill this number up to five digits.", 99_999, lambda n: f"{n:05}"),
    "zeros-8": ("Fill this number up to eight digits.", 999_999, lambda n: f"{n:08}"),
    "ordinal-short": ("Write this as an English ordinal.", 999, lambda n: f"{n}{_ending(n)}"),
    "science": ("Write this number as a power of ten.", 99_999_999, lambda n: f"{n:.2e}"),
    "bcd": ("Write each digit in four bits.", 999, lambda n: " ".join(f"{int(digit):04b}" for digit in str(n))),
    "spaced": ("Put a space between all digits.", 99_999_999, lambda n: " ".join(str(n))),
    "reversed": ("Read these digits backwards.", 99_999_999, lambda n: str(n)[::-1]),
    "even": ("Is this number even or odd?", 9_999, lambda n: "odd" if n % 2 else "even"),
    "largest": ("Give the largest digit.", 99_999, lambda n: max(str(n))),
    "smallest": ("Give the smallest digit.", 99_999, lambda n: min(str(n))),
    "digits": ("Count the digits.", 99_999_999, lambda n: str(len(str(n)))),
    "sorted": ("Sort the digits.", 999_999, lambda n: "".join(sorted(str(n)))),
    "first-last": ("Give the first and the last digit.", 999_999, lambda n: f"{str(n)[0]} {str(n)[-1]}"),
    "mask": ("Hide all but the last two digits.", 99_999_999, lambda n: "*" * (len(str(n)) - 2) + str(n)[-2:]),
    "plate": ("Group these digits by four.", 99_999_999, lambda n: f"{f'{n:08}'[:4]} {f'{n:08}'[4:]}"),
}
BITS: dict[str, tuple[str, Whole, Whole]] = {
    "hex-binary": ("Write this hexadecimal number in binary.", lambda n: f"{n:03x}", lambda n: f"{n:012b}"),
    "binary-hex": ("Write these bits in hexadecimal.", lambda n: f"{n:012b}", lambda n: f"{n:03x}"),
    "octal-binary": ("Write this octal number in binary.", lambda n: f"{n:04o}", lambda n: f"{n:012b}"),
    "binary-octal": ("Write these bits in octal.", lambda n: f"{n:012b}", lambda n: f"{n:04o}"),
    "invert": ("Turn each bit round.", lambda n: f"{n % 256:08b}", lambda n: f"{255 - n % 256:08b}"),
    "hex-upper": ("Write this as a hexadecimal constant.", lambda n: f"{n:03x}", lambda n: f"0x{n:03X}"),
    "spaced-bits": ("Group these bits by four.", lambda n: f"{n:012b}", lambda n: _in_fours(n)),
    "ones": ("Count the ones.", lambda n: f"{n % 256:08b}", lambda n: str((n % 256).bit_count())),
}  # fmt: skip


def tasks() -> Iterator[Task]:
    yield from _arithmetic()
    for name, (said, most, of) in MEASURES.items():
        yield _task("convert", name, said, partial(_whole, most, of))
    for name, (said, most, of) in WRITTEN.items():
        yield _task("digits", name, said, partial(_whole, most, of))
    for name, (said, given, of) in BITS.items():
        yield _task("bits", name, said, partial(_bits, given, of))
    yield _task("digits", "unroman", "Give this Roman number in digits.", _from_roman)
    for script in SCRIPTS:
        said = script.replace("-", " ").title()
        name = script.lower()
        yield _task("script-read", name, f"Read these {said} digits.", partial(_script_read, script))
        yield _task("script-write", name, f"Write this number in {said} digits.", partial(_script_write, script))


def roman(number: int) -> str:
    text = ""
    for value, letters in ROMAN:
        text += letters * (number // value)
        number %= value
    return text


def _arithmetic() -> Iterator[Task]:
    for n in ADDED:
        yield _task("sum", f"add-{n}", f"Add {n}.", partial(_whole, 999, lambda x, n=n: str(x + n)))
        yield _task("sum", f"subtract-{n}", f"Subtract {n}.", partial(_whole, 999, lambda x, n=n: str(x - n)))
    for n in FACTORS:
        yield _task("times", f"times-{n}", f"Multiply by {n}.", partial(_whole, 200, lambda x, n=n: str(x * n)))
    for n in DIVISORS:
        said = f"Can this be divided by {n}?"
        yield _task("divisible", f"by-{n}", said, partial(_divisible, n))
    for n in ROUNDED:
        rounded = partial(_whole, 9_999, lambda x, n=n: str((2 * x + n) // (2 * n) * n))
        yield _task("round", f"to-{n}", f"Round to the nearest {n}.", rounded)
    for share, n in SHARES.items():
        yield _task("share", share, f"Give a {share}.", partial(_whole, 400, lambda x, n=n: f"{x / n:g}"))
    for name, of in {"larger": max, "smaller": min, "sorted": sorted}.items():
        yield _task("compare", name, f"Give these numbers: {name}.", partial(_compare, of))


def _task(family: str, name: str, instruction: str, draw: Callable[[Random], Pair]) -> Task:
    return Task(f"{family}-{name}", family, "en", instruction, ("python",), draw)


def _whole(most: int, of: Whole, random: Random) -> Pair:
    """Numbers of each length about as often."""
    number = random.choice((random.randint(10, min(most, 999)), random.randint(1, most)))
    return str(number), of(number)


def _divisible(by: int, random: Random) -> Pair:
    number = random.randint(10, 1200 // by) * by + random.choice((0, random.randint(1, by - 1)))
    return str(number), "no" if number % by else "yes"


def _compare(of: Callable[[list[int]], int | list[int]], random: Random) -> Pair:
    numbers = random.sample(range(1, random.choice((99, 999))), random.choice((2, 3)))
    found = of(numbers)
    return " ".join(map(str, numbers)), str(found) if isinstance(found, int) else " ".join(map(str, found))


def _bits(given: Whole, of: Whole, random: Random) -> Pair:
    number = random.randrange(4096)
    return given(number), of(number)


def _in_fours(number: int) -> str:
    return " ".join(f"{number >> shift & 15:04b}" for shift in (8, 4, 0))


def _from_roman(random: Random) -> Pair:
    number, text = _whole(3999, roman, random)
    return text, number


def _script_write(script: str, random: Random) -> Pair:
    number = str(random.randint(0, 9999))
    return number, "".join(unicodedata.lookup(f"{script} DIGIT {_digit_name(one)}") for one in number)


def _script_read(script: str, random: Random) -> Pair:
    number, text = _script_write(script, random)
    return text, number


def _digit_name(digit: str) -> str:
    return unicodedata.name(digit).removeprefix("DIGIT ")


def _ending(number: int) -> str:
    if number % 100 in (11, 12, 13):
        return "th"
    return {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
