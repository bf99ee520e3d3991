"""The model store on a real S3 server (moto's), over HTTP."""

import socket

import boto3
import pytest
import urllib3
from moto.server import ThreadedMotoServer

from model import artifact, signature, store
from model.table import BadInput


@pytest.fixture
def server(monkeypatch):
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    running.start()
    host, port = running.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    urllib3.request("POST", f"http://{host}:{port}/moto-api/reset")  # servers of one process share their buckets
    client = boto3.client("s3")
    client.create_bucket(Bucket="models")
    yield client
    running.stop()


@pytest.fixture
def signer(tmp_path):
    signature.make_keys(tmp_path / "keys")
    return signature.Signer.of(tmp_path / "keys" / "signing.key")


@pytest.fixture
def version(tmp_path):
    artifact.write(tmp_path / "v", {"model.bst": b"trees", "schema.json": b"{}"})
    return tmp_path / "v"


def test_a_version_goes_there_and_comes_back_byte_for_byte(server, version, tmp_path, signer):
    shop = store.opened("s3://models")
    assert store.publish(shop, version, "credit", "8", signer) == "s3://models/credit/8"
    assert store.versions(shop, "credit") == {"8": artifact.digest(version)}
    store.fetch(shop, "credit", "8", tmp_path / "back")
    assert artifact.listing(tmp_path / "back") == artifact.listing(version)


def test_publishing_again_changes_nothing_and_other_bytes_are_refused(server, version, signer):
    shop = store.opened("s3://models")
    store.publish(shop, version, "credit", "8", signer)
    before = {one["Key"]: one["LastModified"] for one in server.list_objects_v2(Bucket="models")["Contents"]}
    store.publish(shop, version, "credit", "8", signer)
    (version / "model.bst").write_bytes(b"other trees")
    with pytest.raises(BadInput) as error:
        store.publish(shop, version, "credit", "8", signer)
    assert str(error.value) == (
        "s3://models/credit/8/model.bst: holds other bytes; versions are written once, a new number would be right"
    )
    assert {one["Key"]: one["LastModified"] for one in server.list_objects_v2(Bucket="models")["Contents"]} == before


def test_a_half_published_version_is_none_and_is_finished(server, version, signer):
    shop = store.opened("s3://models")
    server.put_object(Bucket="models", Key="credit/8/model.bst", Body=b"trees")
    assert store.versions(shop, "credit") == {}
    store.publish(shop, version, "credit", "8", signer)
    assert store.versions(shop, "credit") == {"8": artifact.digest(version)}


def test_a_version_tampered_with_is_not_given_out(server, version, tmp_path, signer):
    shop = store.opened("s3://models")
    store.publish(shop, version, "credit", "8", signer)
    server.put_object(Bucket="models", Key="credit/8/model.bst", Body=b"evil trees")
    with pytest.raises(BadInput, match=r"sha256 is [0-9a-f]{64}; must be "):
        store.fetch(shop, "credit", "8", tmp_path / "back")


def test_a_bucket_that_is_not_there_refuses_in_one_sentence(server, version, signer):
    with pytest.raises(BadInput, match=r"^store s3://elsewhere: list: .*NoSuchBucket"):
        store.publish(store.opened("s3://elsewhere"), version, "credit", "8", signer)


def test_a_server_that_is_down_is_said_so(monkeypatch, version, signer):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    for name, value in {"ENDPOINT_URL": f"http://127.0.0.1:{port}", "ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "a"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with pytest.raises(BadInput, match=r"^store s3://models: list: Could not connect to the endpoint URL"):
        store.publish(store.opened("s3://models"), version, "credit", "8", signer)
