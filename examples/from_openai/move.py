"""Fine-tuned models and evals out of OpenAI into a folder, and from there into Chiliad. Needs only `pip install openai`.

    OPENAI_API_KEY=sk-… python move.py save theirs
    OPENAI_BASE_URL=http://127.0.0.1:8321/v1 OPENAI_API_KEY=chil_… python move.py load theirs

`save` reads and changes nothing. `load` trains every fine-tuned model anew on the same file, makes every eval, runs it as it
was run there, and ends with a table: what passed there, what passes here. What is done is written to theirs/moved.json, so
it can be stopped and started again. What cannot be moved is named and left out.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from openai import APIStatusError, OpenAI

PURPOSES = ("fine-tune", "evals")
POLL_S = 2.0

Thing = dict[str, Any]
"""as the API shows it"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("save", "load"))
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--model", help="load: all runs ask this model, instead of the one that took the place of theirs"
    )
    asked = parser.parse_args()
    if asked.what == "save":
        save(OpenAI(), asked.folder)
    else:
        Move(OpenAI(), asked.folder).load(asked.model)


def save(client: OpenAI, folder: Path) -> None:
    """Every file, fine-tuning job, eval and run, as far as they can still be read."""
    (folder / "files").mkdir(parents=True, exist_ok=True)
    files = [file.to_dict() for file in client.files.list() if file.purpose in PURPOSES]
    for file in files:
        with leaving_out(file["id"]):
            (folder / "files" / file["id"]).write_bytes(client.files.content(file["id"]).content)
    jobs = [job.to_dict() for job in client.fine_tuning.jobs.list()]
    evals = [one.to_dict() for one in client.evals.list()]
    runs = [run.to_dict() for one in evals for run in client.evals.runs.list(one["id"])]
    for run in runs:
        keep_rows(client, folder, run)
    for name, things in {"files": files, "jobs": jobs, "evals": evals, "runs": runs}.items():
        (folder / f"{name}.json").write_text(json.dumps(things, indent=1))
        print(f"{len(things)} {name}")


def keep_rows(client: OpenAI, folder: Path, run: Thing) -> None:
    """The rows of a run whose file cannot be had, from what the run says of each."""
    source = run["data_source"].get("source") or {}
    if source.get("type") == "file_id" and not (folder / "files" / source["id"]).exists():
        items = client.evals.runs.output_items.list(run["id"], eval_id=run["eval_id"])
        rows = [{"item": item.datasource_item} for item in items]
        run["data_source"]["source"] = {"type": "file_content", "content": rows}


class Move:
    """Into the server that `client` asks. `moved`: for every id and every `ft:` name of theirs, ours."""

    def __init__(self, client: OpenAI, folder: Path, sleep: Callable[[float], None] = time.sleep) -> None:
        self.client = client
        self.folder = folder
        self.sleep = sleep
        self.record = folder / "moved.json"
        self.moved: dict[str, str] = json.loads(self.record.read_text()) if self.record.exists() else {}

    def load(self, model: str | None = None) -> None:
        for file in self.saved("files"):
            self.once(file["id"], self.load_file, file)
        for job in self.saved("jobs"):
            if job["fine_tuned_model"]:
                self.once(job["fine_tuned_model"], self.load_model, job)
        for one in self.saved("evals"):
            self.once(one["id"], self.load_eval, one)
        runs = [run for run in self.saved("runs") if run["status"] == "completed"]
        for run in runs:
            self.once(run["id"], self.load_run, run, model)
        self.tell([run for run in runs if run["id"] in self.moved])

    def saved(self, name: str) -> list[Thing]:
        """Oldest first, so that what others stand on comes before them."""
        return sorted(json.loads((self.folder / f"{name}.json").read_text()), key=lambda thing: thing["created_at"])

    def once(self, theirs: str, load: Callable[..., str], *things: Any) -> None:
        if theirs not in self.moved:
            with leaving_out(theirs):
                self.moved[theirs] = load(*things)
                self.record.write_text(json.dumps(self.moved, indent=1))
                print(f"{theirs} is {self.moved[theirs]} here")

    def ours(self, theirs: str) -> str:
        if theirs not in self.moved:
            raise NotMovedError(f"{theirs} was left out")
        return self.moved[theirs]

    def load_file(self, file: Thing) -> str:
        saved = self.folder / "files" / file["id"]
        if not saved.exists():
            raise NotMovedError("it could not be read at OpenAI")
        return self.client.files.create(file=(file["filename"], saved.read_bytes()), purpose=file["purpose"]).id

    def load_model(self, job: Thing) -> str:
        """The same rows and the same suffix; how long and how fast to train is chosen anew, for another base."""
        validation = job["validation_file"]
        made = self.client.fine_tuning.jobs.create(
            model=self.moved.get(job["model"], job["model"]),
            training_file=self.ours(job["training_file"]),
            validation_file=self.ours(validation) if validation else None,
            suffix=job["fine_tuned_model"].split(":")[3] or None,
            method={"type": (job.get("method") or {}).get("type", "supervised")},
            extra_headers={"Idempotency-Key": job["id"]},
        )
        return self.ended(lambda: self.client.fine_tuning.jobs.retrieve(made.id), "succeeded")["fine_tuned_model"]

    def load_eval(self, one: Thing) -> str:
        parts = ("name", "metadata", "data_source_config", "testing_criteria")
        return self.client.evals.create(**{part: one[part] for part in parts}).id

    def load_run(self, run: Thing, model: str | None) -> str:
        eval_id, data = self.ours(run["eval_id"]), run["data_source"]
        if (data.get("source") or {}).get("type") == "file_id":
            data["source"]["id"] = self.ours(data["source"]["id"])
        if "model" in data:
            data["model"] = model or self.moved.get(data["model"], data["model"])
        made = self.client.evals.runs.create(eval_id, name=run["name"], data_source=data)
        return self.ended(lambda: self.client.evals.runs.retrieve(made.id, eval_id=eval_id), "completed")["id"]

    def ended(self, look: Callable[[], Any], wanted: str) -> Thing:
        while (thing := look()).status != wanted:
            if thing.status in ("failed", "cancelled", "canceled"):
                raise NotMovedError(f"{thing.id} has {thing.status}: {thing.error}")
            self.sleep(POLL_S)
        return thing.to_dict()

    def tell(self, runs: list[Thing]) -> None:
        names = {one["id"]: one["name"] for one in self.saved("evals")}
        print(f"\n{'eval, run':40} {'there':>14} {'here':>14}  asked here")
        for run in runs:
            ours = self.client.evals.runs.retrieve(self.moved[run["id"]], eval_id=self.moved[run["eval_id"]]).to_dict()
            told = f"{names[run['eval_id']]}, {run['name']}"
            print(f"{told:40} {passed(run):>14} {passed(ours):>14}  {ours['model']}")


def passed(run: Thing) -> str:
    counts = run["result_counts"]
    return f"{counts['passed']} of {counts['total']}"


class NotMovedError(Exception):
    """One thing cannot be moved; the others can."""


@contextmanager
def leaving_out(what: str) -> Iterator[None]:
    try:
        yield
    except NotMovedError as error:
        print(f"{what} is left out: {error}")
    except APIStatusError as error:
        told = error.body.get("message") if isinstance(error.body, dict) else None
        print(f"{what} is left out: {told or error}")


if __name__ == "__main__":
    main()
