"""The signature of a version: who published these very bytes, as `model.sig` in the version's folder.

Its form is OpenSSF Model Signing's (PyPI `model-signing`, predicate v1.0): a Sigstore bundle that holds a DSSE envelope, whose
payload is an in-toto statement that lists the sha256 of every file; signed with ECDSA on NIST P-256 by a key pair. So that
project's own command checks ours, and a test has it do so:

    model_signing verify key FOLDER --signature FOLDER/model.sig --public_key signing.pub

That library is not used to verify: it brings Sigstore's and TUF's clients, which ask the network for what a key pair does not
need, into every model server. Two dozen lines over `cryptography` do what of it is needed here.

| in the folder                                    | verifying                                       |
|--------------------------------------------------|-------------------------------------------------|
| no model.sig, or one that is none                | is refused                                      |
| signed by a key that is not among the accepted   | is refused                                      |
| an envelope changed after it was signed          | is refused                                      |
| a file changed, missing or added, another's .sig | is refused, and the file named                  |
| anything else                                    | is what its publisher published                 |

Signatures are deterministic (RFC 6979): the same key and bytes give the same model.sig, so that publishing twice changes nothing.
"""

import base64
import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from model import artifact
from model.artifact import SIGNATURE
from model.table import BadInput

PRIVATE, PUBLIC = "signing.key", "signing.pub"
KEY, KEYS = "MODEL_SIGNING_KEY", "MODEL_SIGNING_KEYS"  # the publisher's key, a file; the keys a server accepts, PEM
_BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_STATEMENT = "https://in-toto.io/Statement/v1"
_PAYLOAD = "application/vnd.in-toto+json"
_PREDICATE = "https://model_signing/signature/v1.0"
_PEM = re.compile(r"-----BEGIN PUBLIC KEY-----\n.+?\n-----END PUBLIC KEY-----", re.DOTALL)


@dataclass(frozen=True)
class Signer:
    """A publisher's private key, read from a file that nobody else should read."""

    key: ec.EllipticCurvePrivateKey

    @classmethod
    def of(cls, path: Path) -> "Signer":
        """Read a private key (PEM, not encrypted, P-256)."""
        right = "must be a private key as `python -m model keys DIR` makes them"
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), None)
        except OSError as error:
            raise BadInput(f"{KEY} = {path}: cannot be read ({error.strerror}); {right}") from error
        except (ValueError, TypeError) as error:  # the library's words may quote the file
            raise BadInput(f"{KEY} = {path}: is none; {right}") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise BadInput(f"{KEY} = {path}: is not a P-256 key; {right}")
        return cls(key)

    def sign(self, folder: Path, name: str) -> bytes:
        """The signature of a version's folder; name is what a release calls it, `credit/8`."""
        statement = artifact.as_json(_statement(_digests(folder), name))
        signed = self.key.sign(_envelope(statement), ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
        envelope = {
            "payload": base64.b64encode(statement).decode(),
            "payloadType": _PAYLOAD,
            "signatures": [{"sig": base64.b64encode(signed).decode(), "keyid": ""}],
        }
        material = {"publicKey": {"hint": _hint(self.key.public_key())}, "tlogEntries": []}
        return artifact.as_json({"mediaType": _BUNDLE, "verificationMaterial": material, "dsseEnvelope": envelope})


def key_of(environment: Mapping[str, str]) -> Path:
    """Where the publisher's key is: a file, for a variable's value can be read by more than its owner."""
    if not environment.get(KEY):
        raise BadInput(f"{KEY} is not set; must be the path of a private key as `python -m model keys DIR` makes them")
    return Path(environment[KEY])


def signer(environment: Mapping[str, str]) -> Signer:
    """The publisher's key, as the environment names it."""
    return Signer.of(key_of(environment))


def make_keys(folder: Path) -> Path:
    """Make a key pair in a folder, where there is none; return the public key's path. Only its owner may read the private one."""
    private, public = folder / PRIVATE, folder / PUBLIC
    key = ec.generate_private_key(ec.SECP256R1())
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    folder.mkdir(parents=True, exist_ok=True)
    try:
        file = os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise BadInput(f"{private}: is there already; a folder without keys would be right") from None
    with os.fdopen(file, "wb") as out:
        out.write(key.private_bytes(*form))
    public.write_bytes(_pem(key.public_key()))
    return public


def verify(folder: Path, keys: str) -> None:
    """Raise BadInput unless one of the keys (public, PEM, one after another) signed the very files of the folder."""
    statement = _opened(folder / SIGNATURE, accepted(keys))
    listed = {one["name"]: one["digest"] for one in statement["predicate"]["resources"]}
    found = _digests(folder)
    for name in sorted(listed.keys() | found.keys()):
        if listed.get(name) != found.get(name):
            said = (
                f"sha256 is {found[name]}; signed is {listed[name]}"
                if name in listed and name in found
                else ("is not signed" if name in found else "is signed and not there")
            )
            raise BadInput(f"{folder / name}: {said}: these are not the bytes that were published")


def accepted(keys: str) -> dict[str, ec.EllipticCurvePublicKey]:
    """Public keys by their hint."""
    found = {}
    for pem in _PEM.findall(keys):
        try:
            key = serialization.load_pem_public_key(f"{pem}\n".encode())
        except ValueError as error:
            raise BadInput(f"{KEYS}: holds a public key that cannot be read") from error
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            raise BadInput(f"{KEYS}: holds a public key that is not P-256")
        found[_hint(key)] = key
    if not found:
        raise BadInput(f"{KEYS}: holds no public key; must be PEM, as `python -m model keys DIR` leaves in {PUBLIC}")
    return found


def _opened(path: Path, keys: Mapping[str, ec.EllipticCurvePublicKey]) -> Any:
    """The statement of a signature that one of the keys made."""
    try:
        bundle = json.loads(path.read_bytes())
        hint, envelope = bundle["verificationMaterial"]["publicKey"]["hint"], bundle["dsseEnvelope"]
        payload = base64.b64decode(envelope["payload"], validate=True)
        (signed,) = (base64.b64decode(one["sig"], validate=True) for one in envelope["signatures"])
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); only signed versions are served") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path}: is no signature; must be a Sigstore bundle of one signature by a key") from error
    if hint not in keys:
        raise BadInput(f"{path}: is signed by the key {str(hint)[:16]}; must be one of {', '.join(one[:16] for one in keys)}")
    try:
        keys[hint].verify(signed, _envelope(payload), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise BadInput(f"{path}: was changed after it was signed") from None
    statement = json.loads(payload)  # signed, so by somebody who is trusted to write it well
    if (envelope["payloadType"], statement["predicateType"]) != (_PAYLOAD, _PREDICATE):
        raise BadInput(f"{path}: signs a {statement['predicateType']}; must be a {_PREDICATE}")
    return statement


def _statement(digests: Mapping[str, str], name: str) -> dict[str, Any]:
    whole = hashlib.sha256(b"".join(map(bytes.fromhex, digests.values()))).hexdigest()
    how = {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": [SIGNATURE]}
    files = [{"name": file, "digest": digest, "algorithm": "sha256"} for file, digest in digests.items()]
    return {
        "_type": _STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": whole}}],
        "predicateType": _PREDICATE,
        "predicate": {"serialization": how, "resources": files},
    }


def _digests(folder: Path) -> dict[str, str]:
    lines = [line.split("  ", 1) for line in artifact.listing(folder).splitlines()]
    return {name: digest for digest, name in lines}


def _envelope(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: what is signed."""
    return b"DSSEv1 %d %s %d %s" % (len(_PAYLOAD), _PAYLOAD.encode(), len(payload), payload)


def _pem(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _hint(key: ec.EllipticCurvePublicKey) -> str:
    return hashlib.sha256(_pem(key)).hexdigest()
