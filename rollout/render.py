"""kustomize at the edge: one folder in, its manifests or its complaint out."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

from rollout.errors import BadInput

_KUBECTL = re.compile(r'E\d{4} .*"command failed" err=(".*")')  # how kubectl wraps what kustomize says


def kustomize() -> list[str]:
    """The words that render a folder; raise BadInput where no program can."""
    for name, words in (("kustomize", ["build"]), ("kubectl", ["kustomize"])):
        path = shutil.which(name)
        if path:
            return [path, *words]
    raise BadInput("PATH", "", "has neither kustomize nor kubectl; one of them renders the releases")


def render(command: list[str], root: Path, folder: str) -> str | Exception:
    """Render a folder of the tree at `root`: its manifests or, as an exception, the complaint."""
    done = subprocess.run([*command, str(root / folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        return RuntimeError(_complaint(done.stderr).replace(f"{root.resolve()}/", ""))
    return done.stdout


def _complaint(stderr: str) -> str:
    said = " ".join(stderr.split()).removeprefix("error: ").removeprefix("Error: ")
    wrapped = _KUBECTL.fullmatch(said)
    return str(json.loads(wrapped[1])) if wrapped else said
