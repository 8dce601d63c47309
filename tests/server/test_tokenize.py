import pytest

from chiliad.workspace import Workspace
from tests.server.conftest import running


def test_a_text_comes_back_from_its_tokens(http):
    tokens = http.post("/tokenize", json={"prompt": "Halo, apa kabar?", "add_special_tokens": False}).json()
    text = http.post("/detokenize", json={"tokens": tokens["tokens"]}).json()

    assert tokens["count"] == len(tokens["tokens"])
    assert text == {"prompt": "Halo, apa kabar?"}


def test_the_tokenizer_describes_itself(http):
    info = http.get("/tokenizer_info").json()
    assert (info["bos_token"], info["eos_token"]) == ("<|im_start|>", "<|im_end|>")
    assert "<|im_start|>" in info["chat_template"]


@pytest.mark.parametrize("tokens", [[10**6], [-1], ["a"], [2**80]])
def test_tokens_that_do_not_exist_are_refused(http, tokens):
    reply = http.post("/detokenize", json={"tokens": tokens})
    assert reply.status_code == 400
    assert reply.json()["error"]["param"].startswith("tokens")


def test_where_nothing_is_served_there_is_no_tokenizer(settings):
    with (
        Workspace.open(settings) as workspace,
        running(workspace.service(bases=()), workspace=workspace) as served,
        served.http() as http,
    ):
        for reply in (http.get("/tokenizer_info"), http.post("/tokenize", json={"prompt": "x"})):
            assert (reply.status_code, reply.json()["error"]["code"]) == (404, "model_not_found")
        assert http.get("/tokenizer_info", params={"model": "tiny"}).status_code == 404
