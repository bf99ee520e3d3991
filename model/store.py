"""The model store: where published versions are, one folder each, written once.

    <store>/<app>/<version>/...         the files of a version, as they were judged
    <store>/<app>/<version>/model.sig   who published them (model/signature.py)
    <store>/<app>/<version>.sha256      its digest, written last: only what has it is published

| at that version there is       | publishing            |
|--------------------------------|-----------------------|
| nothing                        | writes it             |
| the same bytes                 | changes nothing       |
| a part of it, no digest        | is finished           |
| other bytes                    | is refused            |
| another key's signature        | is refused, unless it is published whole: then it stays |

A store is a folder, `file:///srv/models`, or a bucket, `s3://models` (`S3Store`, with boto3 and its own environment variables,
AWS_ENDPOINT_URL among them). Releases name a version by the address it is served from, `s3://models/<app>/<version>`; a folder
stands in for that bucket where there is none.
"""

import re
from pathlib import Path
from typing import Any, Protocol

from model import artifact
from model.signature import Signer
from model.table import BadInput

BUCKET = "s3://models"
_MARK = ".sha256"


class Files(Protocol):
    """What a store must be able to do with files under their names; a name has "/" between its parts."""

    address: str  # of what is written, as releases name it

    def names(self, prefix: str) -> list[str]:
        """The names that begin with the prefix, sorted."""

    def read(self, name: str) -> bytes:
        """The bytes under a name."""

    def create(self, name: str, content: bytes) -> bool:
        """Write the bytes under a name that is free, whole or not at all; False where it is taken."""


class Folder:
    """A store that is a folder."""

    def __init__(self, root: Path):
        self.root, self.address = root, BUCKET

    def names(self, prefix: str) -> list[str]:
        """The names that begin with the prefix, sorted."""
        found = (path.relative_to(self.root).as_posix() for path in self.root.rglob("*") if path.is_file())
        return sorted(name for name in found if name.startswith(prefix) and not name.rpartition("/")[2].startswith("."))

    def read(self, name: str) -> bytes:
        """The bytes under a name."""
        return (self.root / name).read_bytes()

    def create(self, name: str, content: bytes) -> bool:
        """Write the bytes under a name that is free, whole or not at all; False where it is taken."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        partial.write_bytes(content)
        try:
            path.hardlink_to(partial)
        except FileExistsError:
            return False
        finally:
            partial.unlink()
        return True


class Bucket:
    """A store that is an S3 bucket; conditional writes (`If-None-Match: *`) make it write-once without a lock."""

    def __init__(self, bucket: str, client: Any):
        self.bucket, self.client, self.address = bucket, client, f"s3://{bucket}"

    def names(self, prefix: str) -> list[str]:
        """The names that begin with the prefix, sorted."""
        pages = self._ask(
            "list", lambda: list(self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix))
        )
        return sorted(one["Key"] for page in pages for one in page.get("Contents", ()))

    def read(self, name: str) -> bytes:
        """The bytes under a name."""
        return bytes(self._ask(name, lambda: self._get(name)))

    def _get(self, name: str) -> Any:
        return self.client.get_object(Bucket=self.bucket, Key=name)["Body"].read()

    def create(self, name: str, content: bytes) -> bool:
        """Write the bytes under a name that is free, whole or not at all; False where it is taken."""
        return bool(self._ask(name, lambda: self._put(name, content)))

    def _put(self, name: str, content: bytes) -> bool:
        try:
            self.client.put_object(Bucket=self.bucket, Key=name, Body=content, IfNoneMatch="*")
        except self.client.exceptions.ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 412:
                return False
            raise
        return True

    def _ask(self, name: str, ask: Any) -> Any:
        import botocore.exceptions  # noqa: PLC0415

        try:
            return ask()
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
            raise BadInput(f"store {self.address}: {name}: {error}; run again when it answers") from error


def opened(url: str, patience: float = 20) -> Files:
    """The store at a URL: file:///PATH or s3://BUCKET. patience: seconds to wait for a bucket's answer, three times."""
    scheme, separator, rest = url.partition("://")
    if scheme == "file" and separator and rest.startswith("/"):
        return Folder(Path(rest))
    if scheme == "s3" and re.fullmatch(r"[a-z0-9][-a-z0-9.]+", rest):
        return bucket(rest, patience)
    raise BadInput(f"store {url!r}: must be like file:///srv/models or s3://models")


def bucket(name: str, patience: float = 20) -> Bucket:
    """An S3 bucket, where the environment says. patience: seconds to wait for its answer, three times."""
    return Bucket(name, _client(patience))


def _client(patience: float) -> Any:
    try:
        import boto3  # noqa: PLC0415
        import botocore.config  # noqa: PLC0415
    except ImportError as error:
        raise BadInput(
            "store s3://...: boto3 is not in this environment; must be the pipelines' (requirements/pipelines.txt)"
        ) from error
    limits = botocore.config.Config(connect_timeout=min(5, patience), read_timeout=patience, retries={"max_attempts": 2})
    return boto3.client("s3", config=limits)


def versions(store: Files, app: str) -> dict[str, str]:
    """The published versions of an app, each with its digest."""
    marks = [name for name in store.names(f"{app}/") if name.endswith(_MARK) and name.count("/") == 1]
    return {name.partition("/")[2].removesuffix(_MARK): store.read(name).decode().strip() for name in marks}


def publish(store: Files, folder: Path, app: str, version: str, signer: Signer) -> str:
    """Sign and publish a version's folder; return the address that a release names it by."""
    digest = artifact.digest(folder)
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    there = {name.partition(f"{app}/{version}/")[2] for name in store.names(f"{app}/{version}/")}
    whole = versions(store, app).get(version) == digest and artifact.SIGNATURE in there
    signed = store.read(f"{app}/{version}/{artifact.SIGNATURE}") if whole else signer.sign(folder, f"{app}/{version}")
    files[artifact.SIGNATURE] = signed
    foreign = sorted(there - files.keys())
    if foreign:
        raise BadInput(
            f"{store.address}/{app}/{version}: holds {foreign[0]}, which this version has not; versions are written once"
        )
    for name, content in [
        *((f"{app}/{version}/{name}", content) for name, content in files.items()),
        _mark(app, version, digest),
    ]:
        if not store.create(name, content) and store.read(name) != content:
            raise BadInput(f"{store.address}/{name}: holds other bytes; versions are written once, a new number would be right")
    return f"{store.address}/{app}/{version}"


def _mark(app: str, version: str, digest: str) -> tuple[str, bytes]:
    return f"{app}/{version}{_MARK}", f"{digest}\n".encode()


def fetch(store: Files, app: str, version: str, into: Path) -> None:
    """Copy a published version to the folder `into`, and verify it; raise BadInput where it is not there, or tampered with."""
    known = versions(store, app)
    if version not in known:
        raise BadInput(f"{store.address}/{app}/{version}: is not published; published are: {', '.join(known) or 'none'}")
    for name in store.names(f"{app}/{version}/"):
        path = into / name.removeprefix(f"{app}/{version}/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(store.read(name))
    artifact.verify(into, known[version])


def next_version(known: set[str]) -> str:
    """The number after the highest of those that are numbers."""
    return str(max((int(one) for one in known if one.isdecimal()), default=0) + 1)
