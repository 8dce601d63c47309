"""The openai package: chat, responses, embeddings, files, fine-tuning, evals, batches; only the URL and the key are ours."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

from openai import OpenAI

MODEL = "gpt-4o-mini-2024-07-18"
ASK = [{"role": "user", "content": "where is box 3"}]
LABELS = {"status": "where is box {}", "refund": "money back for {}", "damage": "lid {} is broken"}
PAUSE_S = 0.5
EXAMPLE = Path(__file__).parents[1] / "examples" / "from_openai" / "tickets.py"

client = OpenAI()


def main() -> None:
    check_chat()
    check_responses()
    check_embeddings()
    model = check_fine_tuning()
    check_evals(model)
    check_batches(model)
    assert client.models.delete(model).deleted
    assert model not in {one.id for one in client.models.list()}
    check_example()


def check_chat() -> None:
    whole = client.chat.completions.create(model=MODEL, messages=ASK, max_tokens=12, logprobs=True, top_logprobs=2)
    assert whole.model == "smollm2-135m-q4_1"
    assert len(whole.choices[0].logprobs.content[0].top_logprobs) == 2
    assert 0 < whole.usage.completion_tokens <= 12
    usage = {"stream_options": {"include_usage": True}}
    chunks = list(client.chat.completions.create(model=MODEL, messages=ASK, max_tokens=12, stream=True, **usage))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


def check_responses() -> None:
    chat = client.chat.completions.create(model=MODEL, messages=ASK, max_tokens=12).choices[0].message.content
    assert client.responses.create(model=MODEL, input=ASK[0]["content"], max_output_tokens=12).output_text == chat
    with client.responses.stream(model=MODEL, input=ASK[0]["content"], max_output_tokens=12) as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
    assert text == chat


def check_embeddings() -> None:
    """The client asks for base64 by itself."""
    texts = ["a small dog", "a little puppy", "the tax return"]
    found = client.embeddings.create(model="text-embedding-3-small", input=texts)
    dog, puppy, tax = (one.embedding for one in found.data)
    assert dot(dog, puppy) > dot(dog, tax)


def check_fine_tuning() -> str:
    rows = [(text.format(n), label) for label, text in LABELS.items() for n in range(12)]
    lines = ({"messages": [turn("user", text), turn("assistant", label)]} for text, label in rows)
    file = client.files.create(file=("train.jsonl", json_lines(lines)), purpose="fine-tune")
    hyperparameters = {"n_epochs": 2, "batch_size": "auto"}
    method = {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}}
    job = client.fine_tuning.jobs.create(model=MODEL, training_file=file.id, suffix="box-desk", method=method)
    done = ended(lambda: client.fine_tuning.jobs.retrieve(job.id), "succeeded")
    assert done.fine_tuned_model.startswith("ft:smollm2-135m-q4_1:")
    events = list(client.fine_tuning.jobs.list_events(job.id))
    assert any(event.type == "metrics" for event in events)
    assert client.files.content(done.result_files[0]).text.startswith("step,train_loss")
    answer = client.chat.completions.create(model=done.fine_tuned_model, messages=ASK)
    assert answer.choices[0].message.content in LABELS
    return done.fine_tuned_model


def check_evals(model: str) -> None:
    schema = {"type": "object", "properties": {"text": {"type": "string"}, "label": {"type": "string"}}}
    exact = {
        "type": "string_check",
        "name": "exact",
        "input": "{{sample.output_text}}",
        "reference": "{{item.label}}",
        "operation": "eq",
    }
    config = {"type": "custom", "item_schema": schema, "include_sample_schema": True}
    made = client.evals.create(name="boxes", data_source_config=config, testing_criteria=[exact])
    rows = [{"item": {"text": text.format(n), "label": label}} for label, text in LABELS.items() for n in (50, 60)]
    source = {
        "type": "completions",
        "model": model,
        "source": {"type": "file_content", "content": rows},
        "input_messages": {"type": "template", "template": [turn("user", "{{item.text}}")]},
    }
    run = client.evals.runs.create(made.id, name="first", data_source=source)
    done = ended(lambda: client.evals.runs.retrieve(run.id, eval_id=made.id), "completed")
    assert (done.result_counts.total, done.result_counts.errored) == (6, 0)
    items = list(client.evals.runs.output_items.list(run.id, eval_id=made.id))
    assert sum(item.status == "pass" for item in items) == done.result_counts.passed


def check_batches(model: str) -> None:
    asked = {"model": model, "messages": ASK}
    lines = ({"custom_id": f"r{n}", "method": "POST", "url": "/v1/chat/completions", "body": asked} for n in range(5))
    file = client.files.create(file=("requests.jsonl", json_lines(lines)), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    done = ended(lambda: client.batches.retrieve(batch.id), "completed")
    assert (done.request_counts.completed, done.request_counts.failed) == (5, 0)
    answers = [json.loads(line) for line in client.files.content(done.output_file_id).text.splitlines()]
    assert {answer["custom_id"] for answer in answers} == {f"r{n}" for n in range(5)}
    assert done.usage.output_tokens == sum(a["response"]["body"]["usage"]["completion_tokens"] for a in answers)


def check_example() -> None:
    """The documentation's program: what it fine-tunes is right more often than the base."""
    done = subprocess.run([sys.executable, EXAMPLE], check=True, stdout=subprocess.PIPE, text=True)
    base, tuned = re.findall(r"(\d+) of 40 right", done.stdout)
    assert int(tuned) > int(base)


def ended(look, wanted):
    """Poll until the thing is as wanted, as OpenAI's guides do."""
    while (thing := look()).status != wanted:
        assert thing.status not in ("failed", "cancelled", "canceled", "expired"), thing
        time.sleep(PAUSE_S)
    return thing


def turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def json_lines(rows) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def dot(left, right) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


if __name__ == "__main__":
    main()
