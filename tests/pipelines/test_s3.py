"""The model store on a real S3 server (moto's), over HTTP."""

import http.server
import socket
import threading

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


class Tiring:
    """A bucket's address that forwards to a real one until so many writes have gone through, then accepts and says nothing."""

    def __init__(self, behind: str, writes: int):
        self.ended = threading.Event()
        tiring, left = self, [writes]

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                left[0] -= self.command == "PUT"
                if left[0] < 0:
                    tiring.ended.wait()
                    return
                told = dict(self.headers.items())
                said = urllib3.request(self.command, behind + self.path, body=body, headers=told, preload_content=True)
                self.send_response(said.status)
                for name, value in said.headers.items():
                    if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(said.data)))
                self.end_headers()
                self.wfile.write(said.data)

            do_GET = do_PUT = answer

            def handle_expect_100(self):
                self.send_response_only(100)
                self.end_headers()
                return True

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def test_a_bucket_that_stops_answering_midway_is_said_so_and_a_second_run_finishes(server, version, signer, monkeypatch):
    tiring = Tiring(server.meta.endpoint_url, writes=2)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{tiring.server.server_port}")
    with pytest.raises(BadInput) as error:
        store.publish(store.opened("s3://models", patience=0.5), version, "credit", "8", signer)
    tiring.ended.set()
    tiring.server.shutdown()
    url = f"http://127.0.0.1:{tiring.server.server_port}/models/credit/8/model.sig"
    assert (
        str(error.value)
        == f'store s3://models: credit/8/model.sig: Read timeout on endpoint URL: "{url}"; run again when it answers'
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.meta.endpoint_url)
    shop = store.opened("s3://models")
    assert shop.names("credit/") == ["credit/8/model.bst", "credit/8/schema.json"]
    assert store.versions(shop, "credit") == {}
    store.publish(shop, version, "credit", "8", signer)
    assert store.versions(shop, "credit") == {"8": artifact.digest(version)}


def test_a_server_that_does_not_let_us_is_said_so(server, version, signer):
    server.put_object(Bucket="models", Key="credit/8/model.bst", Body=b"trees")
    urllib3.request("POST", f"{server.meta.endpoint_url}/moto-api/reset-auth", body=b"0")  # from now on keys are checked
    try:
        with pytest.raises(BadInput) as error:
            store.publish(store.opened("s3://models"), version, "credit", "8", signer)
    finally:
        urllib3.request("POST", f"{server.meta.endpoint_url}/moto-api/reset-auth", body=b"inf")
    assert str(error.value) == (
        "store s3://models: list: An error occurred (InvalidAccessKeyId) when calling the ListObjectsV2 operation: "
        "The AWS Access Key Id you provided does not exist in our records.; run again when it answers"
    )
    assert [one["Key"] for one in server.list_objects_v2(Bucket="models")["Contents"]] == ["credit/8/model.bst"]


def test_a_bucket_that_does_not_answer_ends_the_command_with_2(desk):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "a", "AWS_DEFAULT_REGION": "us-east-1"}
    signature.make_keys(desk.path / "out" / "keys")
    told = {"MODEL_STORE": "s3://models", "MODEL_SIGNING_KEY": "out/keys/signing.key", **keys}
    done = desk.run("seed", "credit", AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}", **told)
    url = f"http://127.0.0.1:{port}/models?list-type=2&prefix=credit%2F&encoding-type=url"
    assert (done.returncode, done.stderr) == (
        2,
        f'error: store s3://models: list: Could not connect to the endpoint URL: "{url}"; run again when it answers\n',
    )


def test_without_a_key_nothing_is_published_in_a_store_that_others_read(desk):
    done = desk.run("seed", "credit", MODEL_STORE=f"file://{desk.path}/out/shared")
    assert (done.returncode, done.stderr) == (
        2,
        "error: MODEL_SIGNING_KEY is not set; must be the path of a private key as `python -m model keys DIR` makes them\n",
    )
    assert not (desk.path / "out/shared").exists()
