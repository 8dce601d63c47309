"""The command `llm`: a model in extra-openai-models.yaml, with a key, whole and streamed, in its log, with a schema."""

import json
import os
import subprocess
import sys
from pathlib import Path

BASE = "smollm2-135m-q4_1"
MODELS = f"""
- model_id: chiliad
  model_name: {BASE}
  api_base: {os.environ["OPENAI_BASE_URL"]}
  api_key_name: chiliad
  supports_schema: true
"""


def main() -> None:
    folder = Path.cwd() / "llm"
    folder.mkdir()
    os.environ["LLM_USER_PATH"] = str(folder)
    (folder / "extra-openai-models.yaml").write_text(MODELS)
    llm("keys", "set", "chiliad", "--value", os.environ.pop("OPENAI_API_KEY"))
    assert "chiliad" in llm("models")
    asked = ("-m", "chiliad", "-o", "max_tokens", "12", "-o", "temperature", "0", "What is the capital of France?")
    whole = llm(*asked, "--no-stream")
    assert whole.strip()
    assert llm(*asked) == whole
    [logged] = json.loads(llm("logs", "-n", "1", "--json"))
    assert logged["response"].strip() == whole.strip()
    assert logged["output_tokens"] <= 12
    answer = llm("-m", "chiliad", "--schema", "sure bool", "Is water wet?", "-o", "max_tokens", "40")
    assert isinstance(json.loads(answer)["sure"], bool)


def llm(*arguments: str) -> str:
    done = subprocess.run([sys.executable, "-m", "llm", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


if __name__ == "__main__":
    main()
