"""A program as it is written for OpenAI: fine-tune on rows, measure with an eval, answer a batch.

Nothing in it knows Chiliad; where it runs is in the environment:

    OPENAI_BASE_URL=http://127.0.0.1:8321/v1 OPENAI_API_KEY=none python tickets.py
"""

import csv
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from openai import OpenAI

BASE = "gpt-4o-mini-2024-07-18"
TRIAGE = Path(__file__).parents[1] / "support_desk" / "triage.csv"
TRAIN, TEST = 160, 40
EXACT = {
    "type": "string_check",
    "name": "the right desk",
    "input": "{{sample.output_text}}",
    "reference": "{{item.intent}}",
    "operation": "eq",
}
ASKING = {"type": "template", "template": [{"role": "user", "content": "{{item.message}}"}]}

Row = dict[str, Any]

client = OpenAI()


def main() -> None:
    with TRIAGE.open(newline="") as lines:
        rows = list(csv.DictReader(lines))[: TRAIN + TEST]
    model = fine_tuned(rows[:TRAIN])
    passed = {name: correct(name, rows[TRAIN:]) for name in (BASE, model)}
    for name, number in passed.items():
        print(f"{name}: {number} of {TEST} right")
    for answer in answered(model, [row["message"] for row in rows[TRAIN:][:5]]):
        print(answer)


def fine_tuned(rows: list[Row]) -> str:
    chats = ([turn("user", row["message"]), turn("assistant", row["intent"])] for row in rows)
    file = upload("fine-tune", [{"messages": chat} for chat in chats])
    method = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 3}}}
    job = client.fine_tuning.jobs.create(model=BASE, training_file=file, suffix="tickets", method=method)
    return ended(lambda: client.fine_tuning.jobs.retrieve(job.id)).fine_tuned_model


def correct(model: str, rows: list[Row]) -> int:
    schema = {"type": "object", "properties": {"message": {"type": "string"}, "intent": {"type": "string"}}}
    config = {"type": "custom", "item_schema": schema, "include_sample_schema": True}
    made = client.evals.create(name="tickets", data_source_config=config, testing_criteria=[EXACT])
    source = {"type": "file_id", "id": upload("evals", [{"item": row} for row in rows])}
    asked = {"type": "completions", "model": model, "source": source, "input_messages": ASKING}
    run = client.evals.runs.create(made.id, name=model, data_source=asked)
    return ended(lambda: client.evals.runs.retrieve(run.id, eval_id=made.id)).result_counts.passed


def answered(model: str, messages: list[str]) -> list[str]:
    bodies = [{"model": model, "messages": [turn("user", message)]} for message in messages]
    asked = {"method": "POST", "url": "/v1/chat/completions"}
    file = upload("batch", [{"custom_id": str(n), **asked, "body": body} for n, body in enumerate(bodies)])
    batch = client.batches.create(input_file_id=file, endpoint=asked["url"], completion_window="24h")
    done = ended(lambda: client.batches.retrieve(batch.id))
    lines = sorted(map(json.loads, client.files.content(done.output_file_id).text.splitlines()), key=custom_id)
    return [line["response"]["body"]["choices"][0]["message"]["content"] for line in lines]


def upload(purpose: Any, rows: list[Row]) -> str:
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    return client.files.create(file=(f"{purpose}.jsonl", content), purpose=purpose).id


def ended(look: Callable[[], Any]) -> Any:
    while (thing := look()).status not in ("succeeded", "completed"):
        if thing.status in ("failed", "cancelled", "canceled", "expired"):
            raise SystemExit(f"{thing.id} has {thing.status}.")
        time.sleep(1)
    return thing


def turn(role: str, content: str) -> Row:
    return {"role": role, "content": content}


def custom_id(line: Row) -> int:
    return int(line["custom_id"])


if __name__ == "__main__":
    main()
