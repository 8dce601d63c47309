import openai
import pytest


def test_lists_experts_before_bases_with_root_and_parent(client):
    models = {model.id: model for model in client.models.list()}

    assert list(models) == ["tickets", "labels", "endless", "tiny"]
    assert models["tickets"].root == "tickets@2"
    assert models["tickets"].parent == "tiny"
    assert models["tiny"].root == "tiny"
    assert models["tiny"].parent is None
    assert models["tickets"].object == "model"


def test_retrieves_one_by_alias_by_version_and_by_base_id(client):
    assert client.models.retrieve("tickets").root == "tickets@2"
    assert client.models.retrieve("tickets@1").root == "tickets@1"
    assert client.models.retrieve("tiny").max_model_len == 512
    assert client.models.retrieve("tickets").precision == "bf16"


def test_an_unknown_name_is_model_not_found(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("nobody")

    assert caught.value.code == "model_not_found"
    assert caught.value.param == "model"
    assert caught.value.body["fix"]


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/"])
def test_a_trailing_slash_does_no_harm_to_the_list(http, path):
    assert http.get(path).json()["object"] == "list"


@pytest.mark.parametrize("path", ["/v1/models/tickets", "/v1/models/tickets/"])
def test_a_trailing_slash_does_no_harm_to_a_model(http, path):
    assert http.get(path).json()["id"] == "tickets"
