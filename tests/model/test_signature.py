import base64
import json
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from model import artifact, signature
from model.cli import main
from model.signature import Signer, make_keys, verify
from model.table import BadInput


class Pair:
    """A key pair, and a version signed with it."""

    def __init__(self, folder: Path):
        self.private, self.public = folder / "keys" / "signing.key", make_keys(folder / "keys").read_text()
        self.version, self.file = folder / "v", folder / "v" / "model.sig"
        artifact.write(self.version, {"model.bst": b"trees", "schema.json": b"{}"})
        self.sign()

    def sign(self) -> None:
        self.file.write_bytes(Signer.of(self.private).sign(self.version, "credit/8"))

    def payload(self, change) -> None:
        """Change what the envelope holds, after it was signed."""
        bundle = json.loads(self.file.read_bytes())
        statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
        change(statement)
        bundle["dsseEnvelope"]["payload"] = base64.b64encode(artifact.as_json(statement)).decode()
        self.file.write_bytes(artifact.as_json(bundle))


@pytest.fixture
def pair(tmp_path):
    return Pair(tmp_path / "own")


@pytest.fixture
def other(tmp_path):
    return Pair(tmp_path / "other")


def hint(pair: Pair) -> str:
    return next(iter(signature.accepted(pair.public)))[:16]


def test_what_was_signed_verifies_with_its_public_key_among_others(pair, other):
    verify(pair.version, pair.public)
    verify(pair.version, other.public + pair.public)


def test_the_same_key_and_bytes_give_the_same_signature_and_the_digest_does_not_cover_it(pair):
    before, digest = pair.file.read_bytes(), artifact.digest(pair.version)
    pair.sign()
    assert pair.file.read_bytes() == before
    pair.file.unlink()
    assert artifact.digest(pair.version) == digest


def test_openssl_finds_the_same(pair, tmp_path):
    bundle = json.loads(pair.file.read_bytes())["dsseEnvelope"]
    payload = base64.b64decode(bundle["payload"])
    (tmp_path / "said").write_bytes(b"DSSEv1 28 application/vnd.in-toto+json %d %s" % (len(payload), payload))
    (tmp_path / "sig").write_bytes(base64.b64decode(bundle["signatures"][0]["sig"]))
    words = ["openssl", "dgst", "-sha256", "-verify", str(pair.private.with_name("signing.pub"))]
    done = subprocess.run([*words, "-signature", "sig", "said"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "Verified OK\n"


def test_only_its_owner_may_read_a_private_key(pair):
    assert stat.S_IMODE(pair.private.stat().st_mode) == 0o600


def test_a_pair_is_never_written_over(pair):
    before = pair.private.read_bytes()
    with pytest.raises(BadInput) as error:
        make_keys(pair.private.parent)
    assert str(error.value) == f"{pair.private}: is there already; a folder without keys would be right"
    assert pair.private.read_bytes() == before


PUBLISHED = ": these are not the bytes that were published"
SHA = {name: artifact.hashlib.sha256(text).hexdigest() for name, text in {"trees": b"trees", "evil": b"evil trees"}.items()}
TAMPERED = {
    "a file changed": (
        lambda one, _: (one.version / "model.bst").write_bytes(b"evil trees"),
        f"model.bst: sha256 is {SHA['evil']}; signed is {SHA['trees']}{PUBLISHED}",
    ),
    "a file added": (lambda one, _: (one.version / "x.py").write_bytes(b"x"), f"x.py: is not signed{PUBLISHED}"),
    "a file gone": (lambda one, _: (one.version / "schema.json").unlink(), f"schema.json: is signed and not there{PUBLISHED}"),
    "no signature": (
        lambda one, _: one.file.unlink(),
        "model.sig: cannot be read (No such file or directory); only signed versions are served",
    ),
    "an empty one": (
        lambda one, _: one.file.write_bytes(b""),
        "model.sig: is no signature; must be a Sigstore bundle of one signature by a key",
    ),
    "a list for one": (
        lambda one, _: one.file.write_bytes(b"[]"),
        "model.sig: is no signature; must be a Sigstore bundle of one signature by a key",
    ),
    "a list of files that was changed to fit": (
        lambda one, _: (
            (one.version / "model.bst").write_bytes(b"evil trees"),
            one.payload(lambda said: said["predicate"]["resources"][0].update(digest=SHA["evil"])),
        ),
        "model.sig: was changed after it was signed",
    ),
}


@pytest.mark.parametrize(("tamper", "message"), TAMPERED.values(), ids=TAMPERED)
def test_what_was_tampered_with_is_refused(pair, other, tamper, message):
    tamper(pair, other)
    with pytest.raises(BadInput) as error:
        verify(pair.version, pair.public)
    assert str(error.value) == f"{pair.version}/{message}"


def test_another_key_is_refused(pair, other):
    with pytest.raises(BadInput) as error:
        verify(pair.version, other.public)
    assert str(error.value) == f"{pair.file}: is signed by the key {hint(pair)}; must be one of {hint(other)}"


def test_another_key_that_claims_to_be_the_right_one_is_refused(pair, other):
    bundle, own = json.loads(other.file.read_bytes()), json.loads(pair.file.read_bytes())
    bundle["verificationMaterial"] = own["verificationMaterial"]
    pair.file.write_bytes(artifact.as_json(bundle))
    with pytest.raises(BadInput, match=r"model\.sig: was changed after it was signed$"):
        verify(pair.version, pair.public)


def test_the_signature_of_another_version_is_refused(pair, tmp_path):
    ninth = tmp_path / "ninth"
    artifact.write(ninth, {"model.bst": b"evil trees", "schema.json": b"{}"})
    shutil.copy(pair.file, ninth)
    with pytest.raises(BadInput) as error:
        verify(ninth, pair.public)
    assert str(error.value) == f"{ninth}/model.bst: sha256 is {SHA['evil']}; signed is {SHA['trees']}{PUBLISHED}"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("", "holds no public key; must be PEM, as `python -m model keys DIR` leaves in signing.pub"),
        ("placeholder", "holds no public key; must be PEM, as `python -m model keys DIR` leaves in signing.pub"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "holds a public key that cannot be read"),
    ],
)
def test_keys_that_are_none_are_refused(pair, keys, message):
    with pytest.raises(BadInput) as error:
        verify(pair.version, keys)
    assert str(error.value) == f"MODEL_SIGNING_KEYS: {message}"


def test_a_private_key_that_is_none_is_named_and_never_quoted(tmp_path, capsys, monkeypatch, pair):
    path = tmp_path / "key"
    path.write_text("hunter2")
    monkeypatch.setenv("MODEL_SIGNING_KEY", str(path))
    assert main(["sign", str(pair.version), "--name", "credit/8"]) == 2
    said = capsys.readouterr().err
    assert said == f"error: MODEL_SIGNING_KEY = {path}: is none; must be a private key as `python -m model keys DIR` makes them\n"


def test_the_command_line_makes_keys_signs_and_verifies(tmp_path, capsys, monkeypatch, pair):
    pair.file.unlink()
    assert main(["keys", str(tmp_path / "new")]) == 0
    monkeypatch.setenv("MODEL_SIGNING_KEY", str(tmp_path / "new" / "signing.key"))
    assert main(["sign", str(pair.version), "--name", "credit/8"]) == 0
    verifying = ["verify", str(pair.version), "--keys", str(tmp_path / "new" / "signing.pub")]
    assert main(verifying) == 0
    (pair.version / "model.bst").write_bytes(b"evil trees")
    assert main(verifying) == 2
    monkeypatch.delenv("MODEL_SIGNING_KEY")
    assert main(["sign", str(pair.version), "--name", "credit/8"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"error: {pair.version}/model.bst: sha256 is {SHA['evil']}; signed is {SHA['trees']}{PUBLISHED}",
        "error: MODEL_SIGNING_KEY is not set; must be the path of a private key as `python -m model keys DIR` makes them",
    ]
