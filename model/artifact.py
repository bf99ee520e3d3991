r"""A trained version as a folder of files, and the one sha256 that names it.

The digest is the sha256 of this text: one line "<sha256 of the file>  <path>\n" per file, sorted by path (bytewise,
"/" between folders, relative to the version's folder). That is what `sha256sum` prints, so anyone can check it:

    cd DIR && find . -type f ! -path ./model.sig -printf '%P\n' | LC_ALL=C sort | xargs -d '\n' sha256sum | sha256sum

The signature beside the files, model.sig, is of these files and not one of them.
Nothing in the folder depends on when or where it was written: the same training gives the same bytes.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model.table import BadInput

SCHEMA = "schema.json"
SELFTEST = "selftest.json"
SIGNATURE = "model.sig"


def listing(folder: Path) -> str:
    """The text that the digest is taken over."""
    files = sorted((p.relative_to(folder).as_posix(), p) for p in folder.rglob("*") if p.is_file() and p != folder / SIGNATURE)
    if not files:
        raise BadInput(f"{folder}: no files; must be the folder of a trained version")
    return "".join(f"{_sha256(path)}  {_plain(name, folder)}\n" for name, path in files)


def digest(folder: Path) -> str:
    """The sha256 of a version's folder, 64 hexadecimal digits."""
    return hashlib.sha256(os.fsencode(listing(folder))).hexdigest()


def verify(folder: Path, expected: str) -> None:
    """Raise BadInput unless the folder's digest is `expected`."""
    found = digest(folder)
    if found != expected:
        raise BadInput(f"{folder}: sha256 is {found}; must be {expected}")


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the files of a version; a folder that holds anything else is refused, for the digest would cover it."""
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder}: is not a folder; name one that is new, empty or a trained version")
    foreign = sorted(p.name for p in folder.iterdir() if p.name not in files) if folder.exists() else []
    if foreign:
        raise BadInput(f"{folder}: holds {foreign[0]}; name a folder that is new, empty or a trained version")
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def read(folder: Path, name: str) -> bytes:
    """One file of a version."""
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise BadInput(f"{folder / name}: cannot be read ({error.strerror}); is this a trained version?") from error


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """One JSON file of a version, an object."""
    try:
        content = json.loads(read(folder, name))
    except ValueError as error:
        raise BadInput(f"{folder / name}: is not JSON ({error})") from error
    if not isinstance(content, dict):
        raise BadInput(f"{folder / name}: must be a JSON object")
    return content


def as_json(content: object) -> bytes:
    """One way of writing JSON, so that equal contents are equal bytes; floats survive to the last bit."""
    return (json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def _plain(name: str, folder: Path) -> str:
    if "\n" in name or "\\" in name:  # sha256sum would escape these, and a listing must have one reading
        raise BadInput(f"{folder}: file name {name!r} holds a line break or backslash; rename it")
    return name


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
