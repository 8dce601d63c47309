"""How a program asks an expert, to copy."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass

QUESTION = "Hello"


@dataclass(frozen=True)
class Snippets:
    curl: str
    python: str


def snippets(address: str, model: str) -> Snippets:
    """`CHILIAD_API_KEY` is read where they run; a server that is open to this machine wants none."""
    messages = [{"role": "user", "content": QUESTION}]
    body = shlex.quote(json.dumps({"model": model, "messages": messages}))
    return Snippets(
        curl=(
            f"curl {shlex.quote(address + '/v1/chat/completions')} \\\n"
            '  -H "Content-Type: application/json" -H "Authorization: Bearer $CHILIAD_API_KEY" \\\n'
            f"  -d {body}"
        ),
        python=(
            "import os\nfrom openai import OpenAI\n\n"
            f'client = OpenAI(base_url={json.dumps(address + "/v1")}, api_key=os.environ.get("CHILIAD_API_KEY", "none"))\n'
            f"answer = client.chat.completions.create(model={json.dumps(model)}, messages={json.dumps(messages)})\n"
            "print(answer.choices[0].message.content)"
        ),
    )
