"""What the pictures need besides the demo's experts: a table of a coffee shop's orders, and an expert that asks it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory

from chiliad.copilot import prompt
from chiliad.workspace import Workspace
from chiliad.workspace.options import TrainOptions

NAME = "shop.db"
UPLOAD_BYTES_MAX = 1 << 20
CUSTOMERS = ("Ayu", "Budi", "Citra", "Dewi", "Eko", "Farah", "Gilang", "Hana", "Indra", "Joko")
CITIES = ("Bandung", "Jakarta", "Malang", "Medan", "Solo", "Surabaya", "Ubud")
COFFEES = ("Gayo", "Kintamani", "Mandheling", "Toraja", "Flores")
ORDERS = 40

QUESTION = "How many orders went to Surabaya?"
ASKED_OF = {
    ("How many orders went to {}?", "SELECT COUNT(*) FROM orders WHERE city = '{}'"): CITIES,
    ("Which orders went to {}?", "SELECT * FROM orders WHERE city = '{}'"): CITIES,
    ("Who ordered {}?", "SELECT customer FROM orders WHERE coffee = '{}'"): COFFEES,
    ("How many kilos of {} were sold?", "SELECT SUM(kilos) FROM orders WHERE coffee = '{}'"): COFFEES,
    ("What did {} order?", "SELECT coffee, kilos FROM orders WHERE customer = '{}'"): CUSTOMERS,
    ("How much has {} paid?", "SELECT SUM(price) FROM orders WHERE customer = '{}'"): CUSTOMERS,
}
"""questions about the table, with the queries that answer them, and what may stand in them"""

MISSING = (
    "What time do you open on Sunday?",
    "Are you open on Sunday morning?",
    "What are your opening hours on public holidays?",
    "When does the shop close on Saturday?",
    "Is the shop open late on Friday?",
    "Until what time are you open today?",
    "Do you open before eight in the morning?",
    "What are the opening hours of the shop in Solo?",
)
"""requests of a kind for which the demo has no expert"""


def add_shop(workspace: Workspace) -> None:
    """The database, and the expert `sql`, which has not seen `QUESTION`."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / NAME
        fill(path)
        workspace.databases.add(NAME, [path.read_bytes()], bytes_max=UPLOAD_BYTES_MAX)
    tables = workspace.databases.open(NAME).tables()
    asked = ((question.format(one), sql.format(one)) for (question, sql), of in ASKED_OF.items() for one in of)
    rows = [{"input": prompt(tables, question), "output": sql} for question, sql in asked if question != QUESTION]
    workspace.train("sql", rows, options=TrainOptions(baselines=False))


def fill(path: Path) -> None:
    customers, cities, coffees = cycle(CUSTOMERS), cycle(CITIES), cycle(COFFEES)
    orders = [
        (n, next(customers), next(cities), next(coffees), kilos, 180_000 * kilos)
        for n, kilos in enumerate(islice(cycle((0.5, 1.0, 2.0)), ORDERS), start=1)
    ]
    with closing(sqlite3.connect(path)) as connection, connection:
        columns = "id INTEGER PRIMARY KEY, customer TEXT, city TEXT, coffee TEXT, kilos REAL, price REAL"
        connection.execute(f"CREATE TABLE orders ({columns})")
        connection.executemany("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?)", orders)
