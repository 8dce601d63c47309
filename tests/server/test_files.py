"""`/v1/files` as the openai client uses it, over a real workspace."""

import io
import socket
from dataclasses import replace

import openai
import pytest

from chiliad.config import ServerSettings
from chiliad.server.app import UPLOAD_PATHS
from tests.server.platform import chat, json_lines, serving

ROWS = json_lines([chat("hällo", "hi"), chat("bye", "ciao")])


@pytest.fixture
def platform(settings):
    with serving(settings) as served:
        yield served


@pytest.fixture
def client(platform):
    with platform.openai() as client:
        yield client


def upload(client, content=ROWS, name="train.jsonl", purpose="fine-tune", **options):
    return client.files.create(file=(name, content), purpose=purpose, **options)


def test_a_file_comes_back_as_it_was_sent(client, platform, settings):
    file = upload(client)
    assert (file.object, file.filename, file.bytes, file.purpose) == ("file", "train.jsonl", len(ROWS), "fine-tune")
    assert client.files.retrieve(file.id) == file
    assert client.files.content(file.id).content == ROWS
    assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError) as error:
        client.files.retrieve(file.id)
    assert error.value.code == "file_not_found"
    assert not (settings.workspace / "files" / file.id).exists()


def test_files_are_listed_page_by_page(client):
    files = [upload(client, name=f"{n}.jsonl", purpose="evals" if n == 2 else "batch") for n in range(5)]
    assert [file.id for file in client.files.list(limit=2)] == [file.id for file in reversed(files)]
    assert [file.id for file in client.files.list(limit=2, order="asc")] == [file.id for file in files]
    assert [file.id for file in client.files.list(purpose="evals")] == [files[2].id]
    assert client.files.list(limit=5).has_more is False


def test_a_file_expires(client):
    file = upload(client, expires_after={"anchor": "created_at", "seconds": 3600})
    assert file.expires_at == file.created_at + 3600
    with pytest.raises(openai.BadRequestError) as error:
        upload(client, expires_after={"anchor": "created_at", "seconds": 60})
    assert error.value.param == "expires_after"


@pytest.mark.parametrize(
    ("options", "code", "param"),
    [
        ({"name": "../../etc/passwd"}, "file_refused", None),
        ({"name": "a\\b.jsonl"}, "file_refused", None),
        ({"name": ".."}, "file_refused", None),
        ({"name": "x" * 300}, "file_refused", None),
        ({"purpose": "vision"}, "unsupported_feature", "purpose"),
        ({"purpose": "world-domination"}, "invalid_value", "purpose"),
        ({"content": b"\xff\xfe{}\n"}, "invalid_file_format", "file"),
        ({"content": b'{"a": 1}\n[]\n'}, "invalid_file_format", "file"),
        ({"content": b'{"a": \n'}, "invalid_file_format", "file"),
        ({"content": b"\n"}, "invalid_file_format", "file"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name(client, settings, options, code, param):
    with pytest.raises(openai.BadRequestError) as error:
        upload(client, **options)
    assert (error.value.code, error.value.param) == (code, param)
    assert error.value.body["fix"]
    assert client.files.list().data == []
    assert list(settings.workspace.rglob("*.jsonl")) == []


def test_a_form_without_a_file_or_a_purpose_is_refused(platform):
    with platform.http() as http:
        alone = http.post("/v1/files", files={"file": ("a.jsonl", b"{}")})
        empty = http.post("/v1/files", data={"purpose": "batch"})
        broken = http.post("/v1/files", content=b"--x", headers={"Content-Type": "multipart/form-data; boundary=y"})
    assert (alone.status_code, alone.json()["error"]["param"]) == (400, "purpose")
    assert (empty.status_code, empty.json()["error"]["param"]) == (400, "file")
    assert (broken.status_code, broken.json()["error"]["code"]) == (400, "invalid_form")


@pytest.mark.parametrize("path", UPLOAD_PATHS)
def test_a_file_that_comes_too_slowly_is_refused(settings, path):
    hasty = replace(settings, server=ServerSettings(upload_seconds_max=1))
    with serving(hasty) as served, socket.create_connection(("127.0.0.1", served.port), timeout=60) as slow:
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nContent-Length: 100\r\n"
        slow.sendall(f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n--x".encode())
        reply = b"".join(iter(lambda: slow.recv(65536), b""))
    assert b"408" in reply.splitlines()[0]
    assert b"body_too_slow" in reply


@pytest.mark.parametrize("path", UPLOAD_PATHS)
@pytest.mark.parametrize("declared", [True, False])
def test_a_file_that_is_too_large_is_refused_however_it_comes(settings, declared, path):
    small = replace(settings, server=ServerSettings(upload_bytes_max=100_000))
    with serving(small) as served, served.http() as http:
        form = (
            b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n'
        )
        body = form + b"{}\n" * 100_000 + b"\r\n--x--\r\n"
        content = body if declared else iter([body[n : n + 9000] for n in range(0, len(body), 9000)])
        headers = {"Content-Type": "multipart/form-data; boundary=x", "Origin": served.url}
        answer = http.post(path, content=content, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")
        assert answer.headers["connection"] == "close"
        within = http.post(
            "/v1/files", files={"file": ("a.jsonl", io.BytesIO(b"{}\n" * 30_000))}, data={"purpose": "batch"}
        )
        assert within.status_code == 200
