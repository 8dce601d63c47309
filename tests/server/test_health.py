import chiliad


def test_health_ready_and_version(http):
    assert http.get("/health").json() == {"status": "ok"}
    assert http.get("/ready").json() == {"status": "ready"}
    assert http.get("/version").json() == {"version": chiliad.__version__}


def test_the_schema_names_every_route(http):
    paths = http.get("/openapi.json").json()["paths"]
    assert {"/v1/models", "/v1/models/{model_id}", "/v1/chat/completions", "/v1/completions", "/tokenize"} <= set(paths)


def test_the_schema_says_how_errors_look(http):
    schema = http.get("/openapi.json").json()
    responses = schema["paths"]["/v1/chat/completions"]["post"]["responses"]
    assert set(responses) == {"200", "4XX", "5XX"}
    assert "fix" in schema["components"]["schemas"]["Error"]["required"]
