import base64
import json
import os
from pathlib import Path

import pytest

from model import artifact, signature, store
from model.table import BadInput


@pytest.fixture
def shop(tmp_path):
    return store.opened(f"file://{tmp_path}/store")


@pytest.fixture
def signer(tmp_path):
    signature.make_keys(tmp_path / "keys")
    return signature.Signer.of(tmp_path / "keys" / "signing.key")


@pytest.fixture
def version(tmp_path):
    artifact.write(tmp_path / "v", {"model.bst": b"trees", "schema.json": b"{}"})
    return tmp_path / "v"


def test_what_is_published_is_found_by_its_digest_and_comes_back_byte_for_byte(shop, version, tmp_path, signer):
    assert store.publish(shop, version, "credit", "8", signer) == "s3://models/credit/8"
    assert store.versions(shop, "credit") == {"8": artifact.digest(version)}
    store.fetch(shop, "credit", "8", tmp_path / "back")
    assert artifact.listing(tmp_path / "back") == artifact.listing(version)


def test_publishing_the_same_again_changes_nothing(shop, version, tmp_path, signer):
    store.publish(shop, version, "credit", "8", signer)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("*") if path.is_file()}
    assert store.publish(shop, version, "credit", "8", signer) == "s3://models/credit/8"
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("*") if path.is_file()} == before


def test_other_bytes_at_a_version_that_is_taken_are_refused_and_nothing_is_changed(shop, version, tmp_path, signer):
    store.publish(shop, version, "credit", "8", signer)
    before = artifact.listing(tmp_path / "store")
    (version / "model.bst").write_bytes(b"other trees")
    with pytest.raises(BadInput) as error:
        store.publish(shop, version, "credit", "8", signer)
    assert str(error.value) == (
        "s3://models/credit/8/model.bst: holds other bytes; versions are written once, a new number would be right"
    )
    assert artifact.listing(tmp_path / "store") == before


def test_a_version_that_holds_a_file_more_is_refused(shop, version, signer):
    shop.create("credit/8/extra", b"?")
    with pytest.raises(BadInput) as error:
        store.publish(shop, version, "credit", "8", signer)
    assert str(error.value) == "s3://models/credit/8: holds extra, which this version has not; versions are written once"


def test_a_half_published_version_is_none_and_is_finished(shop, version, signer):
    shop.create("credit/8/model.bst", b"trees")
    assert store.versions(shop, "credit") == {}
    store.publish(shop, version, "credit", "8", signer)
    assert store.versions(shop, "credit") == {"8": artifact.digest(version)}


def test_a_publisher_killed_in_the_middle_of_a_file_leaves_nothing_under_its_name(shop, version, tmp_path, signer):
    class Killed(Exception):
        pass

    class Dying(store.Folder):
        def create(self, name: str, content: bytes) -> bool:
            if name.endswith("schema.json"):
                raise Killed
            return super().create(name, content)

    with pytest.raises(Killed):
        store.publish(Dying(tmp_path / "store"), version, "credit", "8", signer)
    assert shop.names("credit/") == ["credit/8/model.bst"]
    assert store.publish(shop, version, "credit", "8", signer) == "s3://models/credit/8"


def test_a_version_tampered_with_is_not_given_out(shop, version, tmp_path, signer):
    store.publish(shop, version, "credit", "8", signer)
    (tmp_path / "store" / "credit" / "8" / "model.bst").write_bytes(b"evil trees")
    with pytest.raises(BadInput, match=r"back: sha256 is [0-9a-f]{64}; must be [0-9a-f]{64}$"):
        store.fetch(shop, "credit", "8", tmp_path / "back")


def test_a_version_that_is_not_published_is_said_so(shop, version, tmp_path, signer):
    store.publish(shop, version, "credit", "8", signer)
    with pytest.raises(BadInput) as error:
        store.fetch(shop, "credit", "9", tmp_path / "back")
    assert str(error.value) == "s3://models/credit/9: is not published; published are: 8"


@pytest.mark.parametrize("url", ["models", "file://models", "ftp://models", "s3://Models", "s3://models/deep"])
def test_a_store_that_is_none_is_refused(url):
    with pytest.raises(BadInput) as error:
        store.opened(url)
    assert str(error.value) == f"store {url!r}: must be like file:///srv/models or s3://models"


def test_the_next_version_follows_the_highest_number():
    assert store.next_version(set()) == "1"
    assert store.next_version({"2", "10", "9-r2", "old"}) == "11"


def test_the_store_holds_no_file_of_a_publisher_at_work(shop, tmp_path):
    (tmp_path / "store" / "credit").mkdir(parents=True)
    (tmp_path / "store" / "credit" / ".8.sha256.partial").touch()
    assert shop.names("credit/") == []
    assert os.listdir(Path(tmp_path / "store")) == ["credit"]


def test_what_is_published_is_signed_under_its_own_name(shop, version, signer, tmp_path):
    store.publish(shop, version, "credit", "8", signer)
    store.fetch(shop, "credit", "8", tmp_path / "back")
    signature.verify(tmp_path / "back", (tmp_path / "keys" / "signing.pub").read_text())
    assert (
        '"name": "credit/8"' in base64.b64decode(json.loads(shop.read("credit/8/model.sig"))["dsseEnvelope"]["payload"]).decode()
    )


def test_a_version_published_before_there_were_signatures_is_signed_by_publishing_it_again(shop, version, signer, tmp_path):
    store.publish(shop, version, "credit", "8", signer)
    (tmp_path / "store/credit/8/model.sig").unlink()
    store.publish(shop, version, "credit", "8", signer)
    assert shop.names("credit/8/") == ["credit/8/model.bst", "credit/8/model.sig", "credit/8/schema.json"]


def test_a_new_key_leaves_what_was_published_with_the_old_one_and_does_not_finish_what_was_not(shop, version, signer, tmp_path):
    store.publish(shop, version, "credit", "8", signer)
    before = artifact.listing(tmp_path / "store")
    signature.make_keys(tmp_path / "new")
    new = signature.Signer.of(tmp_path / "new" / "signing.key")
    assert store.publish(shop, version, "credit", "8", new) == "s3://models/credit/8"
    assert artifact.listing(tmp_path / "store") == before
    (tmp_path / "store/credit/8.sha256").unlink()
    with pytest.raises(BadInput) as error:
        store.publish(shop, version, "credit", "8", new)
    assert str(error.value) == (
        "s3://models/credit/8/model.sig: holds other bytes; versions are written once, a new number would be right"
    )
