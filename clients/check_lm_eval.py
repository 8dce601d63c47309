"""lm-eval: two tasks by log-probabilities and one by written answers, all defined here, so that nothing is downloaded."""

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

BASE = "smollm2-135m-q4_1"
FIRST = "<|im_start|>"
"""the token that lm-eval puts before a text of which every token is to be scored"""
URL = os.environ["OPENAI_BASE_URL"]
CAPITALS = {
    "France": "Paris",
    "Italy": "Rome",
    "Spain": "Madrid",
    "Japan": "Tokyo",
    "Germany": "Berlin",
    "England": "London",
}
CITIES = list(CAPITALS.values())
QUESTION = "The capital of {} is"
COMMON = """
dataset_path: json
dataset_kwargs:
  data_files: {data}
test_split: train
"""
BY_LOGPROBS = """
task: capitals
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: "{{cities}}"
doc_to_target: "{{cities.index(city)}}"
"""
ROLLING = """
task: capitals_text
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{question}} {{city}}."
metric_list:
  - metric: word_perplexity
"""
WRITTEN = """
task: capitals_written
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{city}}"
generation_kwargs:
  until: ["\\n"]
  max_gen_toks: 12
metric_list:
  - metric: exact_match
"""
TASKS = {"capitals": BY_LOGPROBS, "capitals_text": ROLLING, "capitals_written": WRITTEN}


def main() -> None:
    folder = Path.cwd() / "tasks"
    folder.mkdir()
    data = folder / "capitals.jsonl"
    rows = [{"question": QUESTION.format(land), "city": city, "cities": CITIES} for land, city in CAPITALS.items()]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name, task in TASKS.items():
        (folder / f"{name}.yaml").write_text(COMMON.format(data=data) + task)
    check_logprobs(folder)
    check_written(folder)


def check_logprobs(folder: Path) -> None:
    """The remote tokenizer is found by itself; it wants the key as `auth_token`."""
    options = f"{URL}/completions,num_concurrent=4,auth_token={os.environ['OPENAI_API_KEY']}"
    scored, rolled = run(folder, ("capitals", "capitals_text"), "local-completions", options)
    assert sum(sample["acc"] for sample in scored) >= 4, "one in six would be chance"
    for sample in scored:
        for city, [[score, greedy]] in zip(CITIES, sample["resps"], strict=True):
            check_score(sample["doc"]["question"], f" {city}", float(score), greedy == "True")
    for sample in rolled:
        [[score]] = sample["resps"]
        assert abs(float(score) - echoed(f"{FIRST}{sample['doc']['question']} {sample['doc']['city']}.")) < 0.01


def check_score(context: str, continuation: str, score: float, greedy: bool) -> None:
    """Against what the server says when it is asked directly, and against what it writes when it is left to itself."""
    assert abs(score - echoed(context + continuation, len(context))) < 0.01
    written = completion(context, max_tokens=1, logprobs=1)
    assert greedy == (written["text"] == continuation), "every city here is one token"
    if greedy:
        assert abs(score - written["logprobs"]["token_logprobs"][0]) < 0.01


def check_written(folder: Path) -> None:
    options = f"{URL}/chat/completions,num_concurrent=4"
    [samples] = run(folder, ("capitals_written",), "local-chat-completions", options, "--apply_chat_template")
    for sample in samples:
        question = [{"role": "user", "content": sample["doc"]["question"]}]
        told = post("/chat/completions", messages=question, max_tokens=12, stop=["\n"])
        assert sample["resps"][0][0].strip() == told["message"]["content"].strip() != ""


def run(folder: Path, tasks: tuple[str, ...], model: str, options: str, *more: str):
    """For each task its samples, in the order of the data."""
    out = folder / f"out-{tasks[0]}"
    command = [sys.executable, "-m", "lm_eval", "--model", model, "--model_args", f"model={BASE},base_url={options}"]
    command += ["--tasks", ",".join(tasks), "--include_path", str(folder), "--output_path", str(out), "--log_samples"]
    done = subprocess.run([*command, *more], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    found = []
    for task in tasks:
        [samples] = out.rglob(f"samples_{task}_2*.jsonl")
        rows = sorted(map(json.loads, samples.read_text().splitlines()), key=lambda row: row["doc_id"])
        assert len(rows) == len(CAPITALS)
        found.append(rows)
    return found


def echoed(text: str, start: int = 1) -> float:
    """The sum of the log-probabilities of the tokens from character `start` on; the first token has none."""
    told = completion(text, max_tokens=0, echo=True, logprobs=0)["logprobs"]
    scored = zip(told["text_offset"], told["token_logprobs"], strict=True)
    return sum(score for offset, score in scored if offset >= start)


def completion(prompt: str, **options):
    return post("/completions", prompt=prompt, **options)


def post(path: str, **options):
    body = {"model": BASE, "temperature": 0, **options}
    headers = {"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{URL}{path}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as reply:
        [choice] = json.load(reply)["choices"]
    return choice


if __name__ == "__main__":
    main()
