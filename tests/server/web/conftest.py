"""A server with every page filled: its texts from outside are attacks. And a browser to look at them with."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from chiliad.config import Settings
from chiliad.data import TaskKind, table_from_rows
from chiliad.evals import Card
from chiliad.evals.card import Cost, Leaks, Provenance, ScoreRow, Subject
from chiliad.evals.mistakes import Mistake
from chiliad.evals.verdict import Outcome, Verdict
from chiliad.metrics import PairedTest
from chiliad.store import AnswerToKeep, Decision, Entry, Role, Said, Settled
from chiliad.workspace import Workspace
from chiliad.workspace.expert import CARD_FILE
from tests.server.conftest import Running, running
from tests.tiny import QUICK

EVIL = """</b></textarea><script>alert(1)</script><img src=x onerror='alert(2)'>"{{7777*7777}}\""""
ADMIN = "sk-of-the-pages"
DESKTOP = {"width": 1200, "height": 850}
WAIT_MS = 120_000


@dataclass(frozen=True)
class Shop:
    """What there is to look at."""

    running: Running
    workspace: Workspace
    job: str
    dataset: str

    @property
    def paths(self) -> list[str]:
        return [
            "/", "/experts/evil", "/experts/evil?version=1", "/train", "/playground", "/compare", "/copilot",
            "/copilot/tables?database=evil.db", "/datasets",
            f"/datasets/{self.dataset}", f"/datasets/{self.dataset}?part=test", "/jobs", f"/jobs/{self.job}",
            f"/jobs/{self.job}/progress", "/review", "/review?expert=evil&order=newest", "/review/odd-0",
            "/suggestions/odd-0", "/ledger", "/keys", "/settings", "/admin",
        ]  # fmt: skip

    def admin(self, **headers):
        return self.running.http(
            headers={"Authorization": f"Bearer {ADMIN}", "Origin": self.running.url, "Accept": "text/html", **headers}
        )


@pytest.fixture(scope="session")
def shop(_cache, tmp_path_factory):
    settings = Settings.load(environ={}, workspace=tmp_path_factory.mktemp("shop"), cache_dir=_cache, threads=1)
    with Workspace.open(settings) as workspace:
        expert = train(workspace, "evil")
        (expert.folder / CARD_FILE).write_text(card().to_json(), "utf-8")
        fill(workspace)
        service = workspace.service(bases=["tiny"])
        with running(service, settings.server, workspace=workspace, api_key=ADMIN) as server:
            job = workspace.jobs.page()[0].id
            yield Shop(server, workspace, job, expert.version.dataset_hash[:12])


def train(workspace, name):
    texts = [(f"{EVIL} box {n}", "status") for n in range(24)] + [(f"money back {n}", EVIL[:70]) for n in range(24)]
    rows = table_from_rows([{"text": text, "label": label} for text, label in texts], source=EVIL)
    return workspace.train(name, rows, base="tiny", instruction=EVIL, options=QUICK)


def fill(workspace):
    """A job that failed, a key, an answer and a database, with texts of the same kind."""
    path = workspace.folder / "evil.db"
    with closing(sqlite3.connect(path)) as connection:
        name = EVIL.replace('"', '""')
        connection.execute(f'CREATE TABLE "{name}" ("{name}" TEXT, n INTEGER)')
    workspace.databases.add("evil.db", [path.read_bytes()], bytes_max=1 << 20)
    jobs, accounts = workspace.jobs, workspace.accounts
    keep(workspace)
    jobs.submit("train", {"name": EVIL})
    job = jobs.lease("worker")
    jobs.tell(job.id, EVIL, {"step": 1, "steps": 2, "loss": 1.0, "epoch": 1, "epochs": 1, "seconds_left": 5})
    jobs.tell(job.id, EVIL, {"step": 2, "steps": 2, "loss": 0.5, "epoch": 1, "epochs": 1, "seconds_left": 1})
    jobs.fail(job.id, "worker", {"cause": EVIL, "fix": EVIL, "code": "x"})
    key = accounts.keys.create(EVIL, role=Role.APP).key
    entry = Entry("a", accounts.clock(), key.id, "default", "evil@1", 1, 9, 0, 1, 0.01, 0.02, 1e-7)
    accounts.ledger.record([Settled(entry), Settled(replace(entry, id="b", model=EVIL, key_id=EVIL))], {})


def keep(workspace):
    """Answers to review, one of them corrected; and a kind of request that a search has found."""
    feedback = workspace.feedback
    asked = [{"role": "system", "content": EVIL}, {"role": "user", "content": EVIL}]
    about = {"key_id": "k", "project": "default", "text": EVIL, "certainty": 0.4, "metadata": {}}
    for name, model, expert in (("evil", "evil@1", "evil"), ("odd", "tiny", None)):
        one = AnswerToKeep(name, model=model, expert=expert, turns=asked, **about)
        feedback.answers.keep([replace(one, id=f"{name}-{n}") for n in range(6)])
    said = Said(boolean=False, score=0.5, comment=EVIL, demonstration=EVIL + "!", outcome=True)
    feedback.give("evil-0", said, by="k", project=None, trusted=False)
    feedback.decide("evil-1", Decision.CORRECT, EVIL + "?", by="k", project=None)
    feedback.set_rule("evil", project="default", after=50)
    feedback.suggest(project=None)
    job = workspace.jobs.lease("worker")
    workspace.jobs.succeed(job.id, "worker", {"looked_at": 6, "kinds": [[f"odd-{n}" for n in range(6)]]})


def card() -> Card:
    row = ScoreRow("expert", EVIL, 0.9, 0.8, 1.0, 40, 0.9, 1.0)
    return Card(
        subject=Subject("evil", 1, "tiny", "f" * 64, 1000, "2026-11-23T04:05:06Z"),
        verdict=Verdict(Outcome.EXPERT_WINS, EVIL),
        kind=TaskKind.LABELS,
        metric="accuracy",
        expert=row,
        baselines=(replace(row, name="majority", score=0.5, low=0.4, high=0.6),),
        best="majority",
        test=PairedTest(0.4, 0.001, 0.3, 0.5, 40, "McNemar's exact test"),
        other_scores={},
        constrained=True,
        provenance=Provenance(EVIL, "d" * 64, 60, 10, 40, EVIL),
        leaks=Leaks(0, 0, 40, None),
        cost=Cost(10.0, 0.01, 0.011, 2.0),
        notes=(EVIL,),
        mistakes=(Mistake(EVIL, EVIL, EVIL, 0.0),),
        confused=(),
        confusion=None,
        test_scores=(1.0,) * 36 + (0.0,) * 4,
    )


@pytest.fixture(scope="module")
def chromium():
    """Skips without the browser, unless BROWSER_TESTS=required.

    As long as it is open its thread has a running event loop: other modules' tests, which start loops, come after it.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: `make setup`")
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    reason = "there is no chromium on this machine: `make browser` installs Debian's"
    if path is None and os.environ.get("BROWSER_TESTS") == "required":
        pytest.fail(reason)
    if path is None:
        pytest.skip(reason)
    sandbox = [] if os.geteuid() else ["--no-sandbox"]  # root, as in most containers, has no other way
    with playwright.sync_playwright() as running_playwright:
        browser = running_playwright.chromium.launch(executable_path=str(Path(path)), args=sandbox)
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium, shop):
    """Opens pages of somebody who has signed in; none of them may complain, ask for a foreign address or show a box."""
    complaints, contexts = [], []

    def foreign(url):
        return [] if url.startswith((shop.running.url, "data:")) else [url]

    def wrong(told):
        return [f"{told.text} {told.location}"] if told.type == "error" else []

    def open_page(**options):
        context = chromium.new_context(**{"viewport": DESKTOP, "locale": "en-GB", **options})
        context.set_default_timeout(WAIT_MS)
        contexts.append(context)
        context.request.post(f"{shop.running.url}/v1/session", data={"key": ADMIN})
        page = context.new_page()
        page.on("console", lambda told: complaints.extend(wrong(told)))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.on(
            "request",
            lambda sent: None if sent.url.startswith((shop.running.url, "data:")) else complaints.append(sent.url),
        )
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
