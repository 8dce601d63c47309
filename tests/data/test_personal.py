import time

import pytest

from chiliad.data.personal import PersonalKind, personal_kinds

EMAIL, PHONE, CARD, IBAN = PersonalKind


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("write to ayu.lestari+shop@mail.example.co.id, please", {EMAIL}),
        ("mailto:JAN@EXAMPLE.ORG.", {EMAIL}),
        ("call me: +62 812-3456-7890", {PHONE}),
        ("WA 081234567890 ya", {PHONE}),
        ("(020) 7946 0958 or 06 12 34 56 78", {PHONE}),
        ("call 0044 20 7946 0958", {PHONE}),
        ("(212) 555-0142", {PHONE}),
        ("+14155550123", {PHONE}),
        ("paid with 4111 1111 1111 1111 12/27", {CARD}),
        ("5500-0000-0000-0004 cvc 123", {CARD}),
        ("378282246310005", {CARD}),
        ("card 4012888888881881.", {CARD}),
        ("code 77 4012 8888 8888 1881", {CARD}),
        ("to GB82 WEST 1234 5698 7654 32 by Friday", {IBAN}),
        ("DE89370400440532013000", {IBAN}),
        ("NL91ABNA0417164300 (Jan, jan@example.nl, +31 20 624 1111)", {IBAN, EMAIL, PHONE}),
    ],
)
def test_personal_data_is_found(text, kinds):
    assert personal_kinds(text) == kinds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no numbers, and me @ home",
        "@handle and user@localhost",
        "on 01.02.2024 12:30 and 2024-03-01, or 12/05/2024",
        "order 4711-0815, invoice 20240301-17, total 1,234.56",
        "version 10.0.19045.3803, address 192.168.100.200",
        "4111 1111 1111 1112 fails the Luhn test",
        "9999 9999 9999 9995 is nobody's card",
        "GB82 WEST 1234 5698 7654 33 has wrong check digits",
        "XX82 WEST 1234 5698 7654 32 is no country",
        "[EMAIL] called [PHONE]",
        "1500000 units, 2026, 3.14159265358979",
        "isbn 978-3-16-148410-0",
    ],
)
def test_other_text_is_left_alone(text):
    assert personal_kinds(text) == frozenset()


@pytest.mark.parametrize("pattern", ["a", "1", "a@", "1 ", "0-", "+1", "(0", "AB12", "GB82 ", "a.", "1@a."])
def test_time_grows_only_with_the_length(pattern):
    began = time.process_time()
    personal_kinds(pattern * (100_000 // len(pattern)))
    assert time.process_time() - began < 5
