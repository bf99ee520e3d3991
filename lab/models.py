"""Real models for the lab: trained by `python -m model train`, as anybody would, and kept in .cache/ for the next run.

What a version is cached by: the code of model/, the versions of its libraries, the training arguments and the data
setting. A cached version is the same folder, with the same sha256. It is published as any other: signed, written once.
"""

import asyncio
import hashlib
import json
import os
import re
import shutil
import sys
import textwrap
import time
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from lab.processes import LabError
from lab.render import command
from model import store as stores
from model.signature import PRIVATE, PUBLIC, Signer

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "models"
LIBRARIES = ("lightgbm", "xgboost-cpu", "numpy", "pandas")


@dataclass(frozen=True)
class Wanted:
    """A version to train: which app, under which number, with which arguments."""

    app: str
    version: str
    arguments: tuple[str, ...] = ()

    @property
    def uri(self) -> str:
        """Where the release says it is."""
        return f"s3://models/{self.app}/{self.version}"


@dataclass(frozen=True)
class Trained:
    """A version in the model store."""

    wanted: Wanted
    sha256: str
    metric: str
    value: float
    rows: int
    data: str
    cached: bool
    seconds: float


def named(text: str, found: Trained) -> str:
    """A release file's text that names a trained version; only the three lines change."""
    values = {"version": f'"{found.wanted.version}"', "modelUri": found.wanted.uri, "sha256": found.sha256}
    for key, value in values.items():
        text = re.sub(rf"(?m)^(  {key}:).*$", rf"\1 {value}", text)
    return text


def signing_keys(home: Path, keys: Path, environments: Iterable[str]) -> dict[str, str]:
    """The environments' files with the lab's own public key: what it signs, its model servers accept."""
    own, files = textwrap.indent((keys / PUBLIC).read_text(), "    "), {}
    for env in environments:
        path = f"overlays/{env}/common/signing-keys.yaml"
        files[path] = re.sub(r"(?s)(?<=keys: \|\n).*", own, (home / path).read_text())
    return files


def _key(parts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for path in sorted((ROOT / "model").glob("*.py")):
        digest.update(path.read_bytes())
    for part in (*map(version, LIBRARIES), os.environ.get("CREDIT_DATA", ""), os.environ.get("SAVINGS_DATA", ""), *parts):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()[:16]


async def _model(*arguments: str) -> str:
    code, out, error = await command(sys.executable, "-m", "model", *arguments, cwd=ROOT)
    if code != 0:
        raise LabError(f"`python -m model {' '.join(arguments)}` ended with {code}: {error.strip()}")
    return out


async def train(wanted: Wanted, store: Path, keys: Path) -> Trained:
    """Put a version into the model store, signed with the key in `keys`; trained now, or earlier by the same code."""
    began = time.monotonic()
    kept = CACHE / f"{wanted.app}-{_key((wanted.app, *wanted.arguments))}"
    cached = (kept / "trained.json").exists()
    if not cached:
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(parents=True)
        arguments = ("train", wanted.app, "--out", str(kept / "model"), *wanted.arguments, "--json")
        (kept / "trained.json").write_text(await _model(*arguments))
    stores.publish(stores.Folder(store), kept / "model", wanted.app, wanted.version, Signer.of(keys / PRIVATE))
    said = json.loads((kept / "trained.json").read_text())
    return Trained(
        wanted,
        said["sha256"],
        said["metric"],
        said["value"],
        said["rows"],
        said["data"],
        cached,
        time.monotonic() - began,
    )


async def train_all(wanted: Iterable[Wanted], store: Path, keys: Path, at_once: int = 2) -> list[Trained]:
    """Train several, so many at once."""
    gate = asyncio.Semaphore(at_once)

    async def one(item: Wanted) -> Trained:
        async with gate:
            return await train(item, store, keys)

    return list(await asyncio.gather(*(one(item) for item in wanted)))


async def questions(app: str, count: int = 2000) -> list[str]:
    """Held-out rows as requests, each one line of JSON."""
    kept = CACHE / f"{app}-rows-{_key((app, str(count)))}.jsonl"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(await _model("rows", app, "--n", str(count)))
    return kept.read_text().splitlines()
