import pytest


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
