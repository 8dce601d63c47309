"""lm-eval: a task by log-probabilities and one by written answers, both defined here, so that nothing is downloaded."""

import json
import math
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

BASE = "smollm2-135m-q4_1"
URL = os.environ["OPENAI_BASE_URL"]
ANIMALS = [
    ("dog", "barks"),
    ("cat", "meows"),
    ("cow", "moos"),
    ("duck", "quacks"),
    ("bee", "buzzes"),
    ("frog", "croaks"),
]
CHOICES = [sound for _, sound in ANIMALS]
COMMON = """
dataset_path: json
dataset_kwargs:
  data_files: {data}
test_split: train
doc_to_text: "A {{{{animal}}}}"
"""
BY_LOGPROBS = """
task: sounds
output_type: multiple_choice
doc_to_choice: {choices}
doc_to_target: "{{{{choices.index(sound)}}}}"
"""
WRITTEN = """
task: sounds_written
output_type: generate_until
doc_to_target: "{{sound}}"
generation_kwargs:
  until: ["\\n"]
  max_gen_toks: 8
metric_list:
  - metric: exact_match
"""


def main() -> None:
    folder = Path.cwd() / "tasks"
    folder.mkdir()
    data = folder / "animals.jsonl"
    data.write_text("".join(json.dumps({"animal": a, "sound": s, "choices": CHOICES}) + "\n" for a, s in ANIMALS))
    common = COMMON.format(data=data)
    (folder / "sounds.yaml").write_text(common + BY_LOGPROBS.format(choices=json.dumps(CHOICES)))
    (folder / "sounds_written.yaml").write_text(common + WRITTEN)
    check_logprobs(folder)
    check_written(folder)


def check_logprobs(folder: Path) -> None:
    """The remote tokenizer is found by itself; it wants the key as `auth_token`."""
    options = f"{URL}/completions,num_concurrent=4,auth_token={os.environ['OPENAI_API_KEY']}"
    results, samples = run(folder, "sounds", "local-completions", options)
    assert results["acc,none"] >= 3 / len(ANIMALS), "a guess is right in one of six"
    assert len(samples) == len(ANIMALS)
    for sample in samples:
        scores = [float(score) for [[score, _]] in sample["resps"]]
        assert all(math.isfinite(score) and score < 0 for score in scores)
    scores = [float(score) for [[score, _]] in samples[0]["resps"]]
    assert abs(scores[0] - own_score(f"A {ANIMALS[0][0]}", f" {CHOICES[0]}")) < 0.01


def check_written(folder: Path) -> None:
    options = f"{URL}/chat/completions,num_concurrent=4"
    _, samples = run(folder, "sounds_written", "local-chat-completions", options, "--apply_chat_template")
    assert all(sample["resps"][0][0].strip() for sample in samples)


def run(folder: Path, task: str, model: str, options: str, *more: str):
    """The scores of a task, and its samples in the order of the data."""
    out = folder / f"out-{task}"
    command = [sys.executable, "-m", "lm_eval", "--model", model, "--model_args", f"model={BASE},base_url={options}"]
    command += ["--tasks", task, "--include_path", str(folder), "--output_path", str(out), "--log_samples", *more]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    [results], [samples] = out.rglob("results_*.json"), out.rglob("samples_*.jsonl")
    rows = sorted(map(json.loads, samples.read_text().splitlines()), key=lambda row: row["doc_id"])
    return json.loads(results.read_text())["results"][task], rows


def own_score(context: str, continuation: str) -> float:
    """What the server says of the continuation's tokens when it is asked directly."""
    body = {"model": BASE, "prompt": context + continuation, "max_tokens": 0, "echo": True, "logprobs": 0}
    headers = {"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{URL}/completions", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as reply:
        told = json.load(reply)["choices"][0]["logprobs"]
    scored = zip(told["text_offset"], told["token_logprobs"], strict=True)
    return sum(score for offset, score in scored if offset >= len(context))


if __name__ == "__main__":
    main()
