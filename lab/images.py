"""Builds here, without a container, what an image of this repository holds: a stand-in for a builder of images.

The build stage of a Containerfile is run as it stands there, in an empty folder in place of its WORKDIR:

| instruction           | here                                                                                           |
|-----------------------|------------------------------------------------------------------------------------------------|
| FROM python... AS x   | this Python in place of that one; nothing else of its image                                    |
| WORKDIR               | the folder                                                                                     |
| COPY a b c/           | from the repository                                                                            |
| RUN words             | `sh -eu`, in the folder                                                                        |
| any other             | an error: what cannot be run here would not be proved here                                     |

The last stage is told, not run: it takes the folder's `.venv` over, and says which packages of the distribution it adds, under
which user it runs, and which command. `python -m lab.images` builds all and prints their sizes.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.processes import LabError

ROOT = Path(__file__).resolve().parent.parent
FILES = {  # image: its Containerfile
    "controller": "rollout/Containerfile",
    "model-server": "model/Containerfile",
    "trainer": "pipelines/Containerfile",
}
OUT = Path("out/images")
MB = 1e6


@dataclass(frozen=True)
class Containerfile:
    """Two stages: what builds, and what runs. command: of CMD; user: of USER."""

    name: str
    build: tuple[tuple[str, str], ...]
    last: tuple[tuple[str, str], ...]

    @property
    def command(self) -> list[str]:
        """What the image runs."""
        return [str(word) for word in json.loads(dict(self.last)["CMD"])]


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """The instructions of a Containerfile, (name, words)."""
    joined = re.sub(r"\\\n\s*", " ", text)
    for line in joined.splitlines():
        if line.strip() and not line.startswith("#"):
            name, _, words = line.strip().partition(" ")
            yield name, words.strip()


def read(name: str, root: Path = ROOT) -> Containerfile:
    """Read an image's Containerfile."""
    found = list(instructions((root / FILES[name]).read_text()))
    starts = [place for place, (word, _) in enumerate(found) if word == "FROM"]
    if len(starts) != 2 or starts[0] != 0:
        raise LabError(f"{FILES[name]}: {len(starts)} stages; one that builds and one that runs would be right")
    return Containerfile(name, tuple(found[: starts[1]]), tuple(found[starts[1] :]))


def build(name: str, folder: Path, root: Path = ROOT) -> Path:
    """Run the build stage in `folder`, emptied first; return the virtual environment that the image takes over."""
    if folder.exists():
        shutil.rmtree(folder)
    work, programs = folder / "app", folder / "bin"
    programs.mkdir(parents=True)
    (programs / "python").symlink_to(Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}")
    work.mkdir()
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
    env["PATH"] = f"{programs}:{env['PATH']}"
    for word, words in read(name, root).build:
        if word == "COPY":
            _copy(words.split(), root, work)
        elif word == "RUN":
            done = subprocess.run(["sh", "-euc", words], cwd=work, env=env, capture_output=True, text=True, check=False)
            if done.returncode:
                last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
                raise LabError(f"{FILES[name]}: RUN {words}\nended with {done.returncode}; its last lines:\n{last}")
        elif word not in ("FROM", "WORKDIR"):
            raise LabError(f"{FILES[name]}: {word} {words}: cannot be run here")
    return work / ".venv"


def _copy(words: Sequence[str], root: Path, work: Path) -> None:
    *sources, target = words
    for source in sources:
        there = root / source
        into = work / target / (there.name if target.endswith("/") else "")
        into.parent.mkdir(parents=True, exist_ok=True)
        if there.is_dir():
            shutil.copytree(there, into, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(there, into)


def size(folder: Path) -> int:
    """Bytes of the files of a folder, each once; links are not followed."""
    return sum({path.lstat().st_ino: path.lstat().st_size for path in folder.rglob("*") if not path.is_symlink()}.values())


def largest(venv: Path, number: int) -> list[tuple[str, int]]:
    """The largest packages of an environment with their bytes, by their folders."""
    places = next((venv / "lib").glob("python3.*")) / "site-packages"
    found = [(path.name, size(path)) for path in places.iterdir() if path.is_dir() and not path.name.endswith(".dist-info")]
    return sorted(found, key=lambda one: -one[1])[:number]


def main(words: Sequence[str] | None = None) -> int:
    """Build and measure."""
    parser = argparse.ArgumentParser(prog="python -m lab.images", description="Build images' environments here; print sizes.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(FILES)} (default: all)")
    parser.add_argument("--json", action="store_true", help="for machines")
    chosen = parser.parse_args(words)
    if unknown := [name for name in chosen.names if name not in FILES]:
        parser.error(f"{unknown[0]!r} is no image; one of {', '.join(FILES)} would be right")
    rows = list[dict[str, Any]]()
    for name in chosen.names or FILES:
        began = time.monotonic()
        venv = build(name, OUT / name)
        top = [{"package": package, "mb": round(taken / MB, 1)} for package, taken in largest(venv, 4)]
        rows.append({"image": name, "mb": round(size(venv) / MB, 1), "seconds": round(time.monotonic() - began), "largest": top})
    if chosen.json:
        print(json.dumps(rows, indent=2))
    else:
        print("| image | installed | its largest packages |\n|---|---:|---|")
        for row in rows:
            packages = ", ".join(f"{one['package']} {one['mb']:.0f}" for one in row["largest"])
            print(f"| {row['image']} | {row['mb']:.0f} MB | {packages} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
