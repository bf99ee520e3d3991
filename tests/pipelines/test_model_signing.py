"""OpenSSF Model Signing's own command and our signatures: each accepts what the other signed, and refuses it changed."""

import subprocess
import sys
from pathlib import Path

import pytest

from model import artifact, signature
from model.table import BadInput

COMMAND = str(Path(sys.executable).with_name("model_signing"))


@pytest.fixture
def home(tmp_path):
    signature.make_keys(tmp_path)
    artifact.write(tmp_path / "v", {"model.bst": b"trees", "schema.json": b"{}"})
    return tmp_path


def theirs(home: Path, *words: str) -> int:
    done = subprocess.run([COMMAND, *words], cwd=home, capture_output=True, text=True, check=False)
    return done.returncode


def verified_by_them(home: Path) -> bool:
    return theirs(home, "verify", "key", "v", "--signature", "v/model.sig", "--public_key", "signing.pub") == 0


def test_they_accept_what_we_sign_and_refuse_it_changed(home):
    signed = signature.Signer.of(home / "signing.key").sign(home / "v", "credit/8")
    (home / "v" / "model.sig").write_bytes(signed)
    assert verified_by_them(home)
    (home / "v" / "model.bst").write_bytes(b"evil trees")
    assert not verified_by_them(home)


def test_we_accept_what_they_sign_and_refuse_it_changed(home):
    words = ("--signature", "v/model.sig", "--private_key", "signing.key", "--ignore-paths", "v/model.sig")
    assert theirs(home, "sign", "key", "v", *words) == 0
    signature.verify(home / "v", (home / "signing.pub").read_text())
    (home / "v" / "schema.json").write_bytes(b"[]")
    with pytest.raises(BadInput, match=r"v/schema\.json: sha256 is [0-9a-f]{64}; signed is [0-9a-f]{64}"):
        signature.verify(home / "v", (home / "signing.pub").read_text())
