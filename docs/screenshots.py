"""Take the pictures of docs/pages.md: `python docs/screenshots.py WORKSPACE`, with a workspace such as `make demo` leaves.

That of docs/copilot.md is taken if the workspace has a database; it was of one with a table of clubs, and the expert `sql`.

Needs Chromium (`make browser`) and what `make test` installs. It asks the experts, in a copy of the workspace.
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

from chiliad.config import Settings
from chiliad.server import create_app
from chiliad.server.caller import ADMIN_LINK
from chiliad.server.process import Server, listen
from chiliad.workspace import Workspace

IMAGES = Path(__file__).parent / "images"
TABLE = Path(__file__).parents[1] / "examples" / "support_desk" / "triage.csv"
ASKED = 24
"""texts, whose answers are there to be reviewed"""
QUESTION = "Which city is the Wrexham Wanderers club from?"
SIZE = {"width": 1100, "height": 680}


def main(workspace: Path) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("There is no chromium on this machine: `make browser` installs Debian's.")
    with copied(workspace) as copy, serving(Settings.load(workspace=copy)) as address, sync_playwright() as playwright:
        use(address)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE, locale="en-GB", color_scheme="light")
        page.goto(address)
        save(page, "experts")
        page.goto(page.locator(".card:has(.score) a").last.evaluate("link => link.href"))
        save(page, "expert")
        page.goto(f"{address}/train")
        page.get_by_label("Examples").set_input_files(TABLE)
        page.get_by_text("An expert can be trained on this").wait_for()
        save(page, "train")
        page.goto(f"{address}/review")
        page.locator("[data-item]").first.focus()
        page.keyboard.press("c")
        save(page, "review")
        page.goto(f"{address}/ledger?days=7")
        save(page, "ledger")
        page.goto(f"{address}/copilot")
        if page.get_by_label("Your question").count():
            page.get_by_label("Your question").fill(QUESTION)
            page.keyboard.press("Control+Enter")
            page.locator("#sql").wait_for()
            page.locator("#question").evaluate("question => question.scrollIntoView()")
            save(page, "copilot")
        browser.close()


def use(address: str) -> None:
    """Ask each expert some of the table's texts, keep the answers, and say something about a few of them."""
    with httpx.Client(base_url=address, timeout=120, headers={"Origin": address}) as http, TABLE.open() as table:
        texts = [row["message"] for row in islice(csv.DictReader(table), ASKED)]
        experts = [model["id"] for model in http.get("/v1/models").json()["data"] if model["parent"]]
        for n, text in enumerate(texts):
            body = {"model": experts[n % len(experts)], "messages": [{"role": "user", "content": text}], "store": True}
            answered = http.post("/v1/chat/completions", json=body).raise_for_status().json()
            if n % 5 == 0:
                given = {"answer_id": answered["id"], "boolean": False, "comment": "This was about something else."}
                http.post("/v1/feedback", json=given).raise_for_status()
            if n % 7 == 0:
                http.post(f"/v1/review/{answered['id']}", json={"decision": "accept"}).raise_for_status()


@contextmanager
def copied(workspace: Path) -> Iterator[Path]:
    with TemporaryDirectory() as folder:
        yield Path(shutil.copytree(workspace, Path(folder) / "ws"))


def save(page: Page, name: str) -> None:
    page.screenshot(path=IMAGES / f"{name}.png")


@contextmanager
def serving(settings: Settings) -> Iterator[str]:
    """The address of a server that takes everybody for an admin, as long as the block lasts."""
    listening = threading.Event()
    with Workspace.open(settings) as workspace, listen("127.0.0.1", 0) as listener:
        app = create_app(
            workspace.service(), settings.server, workspace.accounts, workspace=workspace, everybody=ADMIN_LINK
        )
        server = Server(app, settings.server, on_listening=listening.set)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        listening.wait()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
