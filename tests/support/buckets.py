"""A bucket on a server that speaks S3, in this process."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of an empty folder in a bucket; the environment leads clients to its server."""
    server_module = pytest.importorskip("moto.server", reason="no moto: pip install moto[server]")
    s3fs = pytest.importorskip("s3fs", reason="no s3fs: pip install mastream[s3]")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    s3fs.S3FileSystem.clear_instance_cache()
    name = f"videos-{uuid.uuid4().hex}"  # what the server holds outlives it in this process
    s3fs.S3FileSystem().mkdir(name)
    yield f"s3://{name}/results"
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()
