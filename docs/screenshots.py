"""Take the pictures of docs/pages.md: `python docs/screenshots.py WORKSPACE`, with a workspace such as `make demo` leaves.

That of docs/copilot.md is taken if the workspace has a database; it was of one with a table of clubs, and the expert `sql`.

Needs Chromium (`make browser`) and what `make test` installs. The workspace is only looked at.
"""

from __future__ import annotations

import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from chiliad.config import Settings
from chiliad.server import create_app
from chiliad.server.caller import ADMIN_LINK
from chiliad.server.process import Server, listen
from chiliad.workspace import Workspace

IMAGES = Path(__file__).parent / "images"
TABLE = Path(__file__).parents[1] / "examples" / "support_desk" / "triage.csv"
QUESTION = "Which city is the Wrexham Wanderers club from?"
SIZE = {"width": 1100, "height": 680}


def main(workspace: Path) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("There is no chromium on this machine: `make browser` installs Debian's.")
    with serving(Settings.load(workspace=workspace)) as address, sync_playwright() as playwright:
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
        page.goto(f"{address}/copilot")
        if page.get_by_label("Your question").count():
            page.get_by_label("Your question").fill(QUESTION)
            page.keyboard.press("Control+Enter")
            page.locator("#sql").wait_for()
            page.locator("#question").evaluate("question => question.scrollIntoView()")
            save(page, "copilot")
        browser.close()


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
