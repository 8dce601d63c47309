"""No body makes the server break: whatever JSON comes, the answer is 200 or an error that names what is wrong."""

import json

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SCALARS = st.none() | st.booleans() | st.integers(-5, 30) | st.floats() | st.text(max_size=5) | st.just("endless")
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
TURNS = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "system", "tool"]), "content": VALUES}), max_size=3
)
NAMES = (
    *("temperature", "top_p", "top_k", "seed", "stop", "n", "stream", "stream_options", "logprobs", "top_logprobs"),
    *("echo", "tools", "response_format", "best_of", "suffix"),
)
LIMITS = dict.fromkeys(("max_tokens", "max_completion_tokens"), st.integers(-1, 3) | st.text(max_size=5))


def short(body):
    return {"max_tokens": 2, **body}


def bodies(**required):
    return st.fixed_dictionaries(required, optional={**dict.fromkeys(NAMES, VALUES), **LIMITS}).map(short)


BODIES = {
    "/v1/chat/completions": bodies(model=st.just("endless") | VALUES, messages=TURNS | VALUES),
    "/v1/completions": bodies(
        model=st.just("endless") | VALUES, prompt=st.text(max_size=9) | st.lists(st.integers(0, 300)) | VALUES
    ),
    "/v1/responses": bodies(
        model=st.just("endless") | VALUES,
        input=st.text(max_size=9) | TURNS | VALUES,
        max_output_tokens=st.just(2) | VALUES,
        text=st.none() | VALUES,
    ),
    "/tokenize": st.fixed_dictionaries({"prompt": VALUES}, optional={"model": VALUES}),
    "/detokenize": st.fixed_dictionaries({"tokens": st.lists(st.integers()) | VALUES}, optional={"model": VALUES}),
}


@pytest.mark.parametrize("path", BODIES)
def test_any_json_gets_an_answer_or_a_named_error(served, path):
    with served.http() as client:

        @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
        @given(BODIES[path])
        def check(body):
            reply = client.post(path, content=json.dumps(body), headers={"Content-Type": "application/json"})
            assert reply.status_code in (200, 400, 404), (body, reply.text)
            if reply.status_code != httpx.codes.OK:
                assert reply.json()["error"]["fix"]

        check()
