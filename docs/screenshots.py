"""Take the pictures of the docs: `python docs/screenshots.py WORKSPACE`, with a workspace such as `make demo` leaves.

Needs Chromium (`make browser`) and what `make test` installs. It works in a copy of the workspace, where it asks the
experts, adds a table of orders, trains an expert `sql` for it (a minute or two) and looks for experts that are missing.
"""

from __future__ import annotations

import csv
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from playwright.sync_api import Page, sync_playwright
from screenshots_shop import MISSING, QUESTION, add_shop

from chiliad.config import Settings
from chiliad.server import create_app
from chiliad.server.caller import ADMIN_LINK
from chiliad.server.process import Server, listen
from chiliad.workspace import Workspace
from chiliad.workspace.worker import Worker

IMAGES = Path(__file__).parent / "images"
TABLE = Path(__file__).parents[1] / "examples" / "support_desk" / "triage.csv"
EXPERTS = ("orders", "redact", "tone", "triage")
ASKED = 24
"""texts, whose answers are there to be reviewed"""
WIDTH = 1100


def main(folder: Path) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("There is no chromium on this machine: `make browser` installs Debian's.")
    with (
        copied(folder) as copy,
        Workspace.open(Settings.load(workspace=copy)) as workspace,
        serving(workspace) as address,
        sync_playwright() as playwright,
    ):
        use(address, workspace)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(locale="en-GB", color_scheme="light")
        for take in (experts, train, playground, review, suggestion, ledger):
            take(page, address)
        add_shop(workspace)
        copilot(page, address)
        browser.close()


def experts(page: Page, address: str) -> None:
    page.goto(address)
    save(page, "experts")
    page.goto(f"{address}/experts/tone")
    save(page, "expert")


def train(page: Page, address: str) -> None:
    page.goto(f"{address}/train")
    page.get_by_label("Examples").set_input_files(TABLE)
    page.get_by_text("An expert can be trained on this").wait_for()
    save(page, "train")


def playground(page: Page, address: str) -> None:
    page.goto(f"{address}/playground?expert=triage&expert=tone&expert=smollm2-135m-q4_1")
    page.get_by_label("Your text").fill("The grinder came with a crack in the lid. What now?")
    page.keyboard.press("Control+Enter")
    for column in range(3):
        page.get_by_text("tokens, all in").nth(column).wait_for()
    save(page, "playground", height=900)


def review(page: Page, address: str) -> None:
    page.goto(f"{address}/review?expert=triage")
    page.locator("[data-item]").first.focus()
    page.keyboard.press("c")
    save(page, "review", height=1180)


def suggestion(page: Page, address: str) -> None:
    page.goto(f"{address}/review#missing")
    page.get_by_role("link", name="Make this expert").click()
    page.locator("[name=wanted]").first.fill("opening_hours")
    save(page, "suggestion")


def ledger(page: Page, address: str) -> None:
    page.goto(f"{address}/ledger?days=7")
    save(page, "ledger", height=1060)


def copilot(page: Page, address: str) -> None:
    page.goto(f"{address}/copilot?expert=sql")
    page.get_by_label("Your question").fill(QUESTION)
    page.keyboard.press("Control+Enter")
    page.locator("#sql").wait_for()
    save(page, "copilot", height=1060)


def use(address: str, workspace: Workspace) -> None:
    """Ask each expert some of the table's texts, and the base what no expert is for; keep the answers and judge some."""
    with httpx.Client(base_url=address, timeout=120, headers={"Origin": address}) as http, TABLE.open() as table:
        texts = [row["message"] for row in islice(csv.DictReader(table), ASKED)]
        for n, text in enumerate(texts):
            answer = ask(http, EXPERTS[n % len(EXPERTS)], text)
            if n % 5 == 0:
                given = {"answer_id": answer, "boolean": False, "comment": "This was about something else."}
                http.post("/v1/feedback", json=given).raise_for_status()
            if n % 7 == 0:
                http.post(f"/v1/review/{answer}", json={"decision": "accept"}).raise_for_status()
        for text in MISSING:
            ask(http, "smollm2-135m-q4_1", text)
        http.post("/v1/suggestions").raise_for_status()
    Worker(workspace, workspace.jobs).run(until_idle=True)


def ask(http: httpx.Client, model: str, text: str) -> str:
    """The id of the answer, which is kept."""
    body = {"model": model, "messages": [{"role": "user", "content": text}], "store": True, "max_tokens": 80}
    return str(http.post("/v1/chat/completions", json=body).raise_for_status().json()["id"])


def save(page: Page, name: str, *, height: int = 720) -> None:
    page.set_viewport_size({"width": WIDTH, "height": height})
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=IMAGES / f"{name}.png")


@contextmanager
def copied(workspace: Path) -> Iterator[Path]:
    with TemporaryDirectory() as folder:
        yield Path(shutil.copytree(workspace, Path(folder) / "ws"))


@contextmanager
def serving(workspace: Workspace) -> Iterator[str]:
    """The address of a server that takes everybody for an admin, as long as the block lasts."""
    listening, settings = threading.Event(), workspace.settings.server
    with listen("127.0.0.1", 0) as listener:
        app = create_app(workspace.service(), settings, workspace.accounts, workspace=workspace, everybody=ADMIN_LINK)
        server = Server(app, settings, on_listening=listening.set)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        listening.wait()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
