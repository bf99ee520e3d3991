"""Every image, without a container: its locked install, by its Containerfile's own steps, in a fresh environment; its command."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lab import images
from lab.images import FILES, ROOT
from lab.processes import LabError, free_port
from model import artifact, signature
from model.app import find, train
from tests.release.repository import Desk

# what is in the base image, and what its packages of the distribution bring to libraries
SYSTEM = {"libc", "libm", "libdl", "librt", "libpthread", "libutil", "libresolv", "libgcc_s", "libstdc++", "libz"}
BROUGHT = {"libgomp1": {"libgomp"}, "git": set(), "openssh-client": set()}


pytestmark = pytest.mark.timeout(1800)  # an install of half a gigabyte, on a machine that may be busy
NOT_A_STEPS = {"serve.py", "tune.py"}  # of the model server, and of a person who looks for parameters


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory):
    """Builds an image's environment once."""
    made: dict[str, Path] = {}

    def built(name: str) -> Path:
        if name not in made:
            made[name] = images.build(name, tmp_path_factory.mktemp(name) / "image")
        return made[name]

    return built


def environment(venv: Path, *programs: str) -> dict[str, str]:
    """What the image's processes see: its own programs, the shell's, and those that are named."""
    tools = venv.parent / "tools"
    tools.mkdir(exist_ok=True)
    for program in ("sh", "mktemp", "printf", *programs):
        where = next(Path(folder, program) for folder in os.defpath.split(":") if Path(folder, program).exists())
        if not (tools / program).exists():
            (tools / program).symlink_to(where)
    return {"PATH": f"{venv / 'bin'}:{tools}", "HOME": str(venv.parent), "LC_ALL": "C.UTF-8"}


def run(venv: Path, *words: str, cwd: Path | None = None, programs: tuple[str, ...] = (), **env: str):
    told = {**environment(venv, *programs), **env}
    return subprocess.run(words, cwd=cwd or venv.parent, env=told, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", FILES)
def test_what_it_installs_is_exactly_what_its_lock_names(built, name):
    venv = built(name)
    lock = re.search(r"-r (requirements/(?!build)\S+)", (ROOT / FILES[name]).read_text())
    assert lock
    text = (ROOT / lock[1]).read_text().replace("\\\n", " ")
    pins = [Requirement(line.partition(" --hash")[0]) for line in text.splitlines() if re.match(r"[a-z0-9]", line)]
    wanted = {(canonicalize_name(pin.name), str(pin.specifier)[2:]) for pin in pins if not pin.marker or pin.marker.evaluate()}
    code = "from importlib.metadata import distributions as d; print(*(f'{x.name}=={x.version}' for x in d()))"
    found = {tuple(word.split("==")) for word in _python(venv, code).split()}
    assert {(canonicalize_name(name), version) for name, version in found} == wanted | {("rollout", "0.1.0")}


def _python(venv: Path, code: str) -> str:
    done = run(venv, "python", "-c", code)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", FILES)
def test_no_library_of_the_system_is_missing(built, name):
    last = dict(images.read(name).last)
    packages = re.findall(r"--no-install-recommends ([a-z0-9 +.-]+?) &&", last.get("RUN", ""))
    brought = {library for package in " ".join(packages).split() for library in BROUGHT[package]}
    venv = built(name)
    libraries = [str(path) for path in venv.rglob("*.so*") if path.is_file()]
    told = subprocess.run(["ldd", *libraries], capture_output=True, text=True, check=False).stdout
    missing = set(re.findall(r"(\S+) => not found", told))
    assert missing <= {Path(library).name for library in libraries}  # found once what needs it has loaded its neighbour
    found = [Path(path) for path in re.findall(r"=> (/\S+)", told)]
    outside = {path.name.partition(".so")[0] for path in found if not path.is_relative_to(venv)}
    assert outside <= SYSTEM | brought
    assert brought <= outside  # and nothing is brought that nobody asks for


@pytest.mark.parametrize("name", FILES)
def test_it_runs_as_nobody_and_holds_no_installer(built, name):
    assert dict(images.read(name).last)["USER"] == "65532:65532"
    assert not [path for path in ("pip", "pip3", "uv") if (built(name) / "bin" / path).exists()]


def test_the_controllers_user_has_a_name_for_ssh_keygen_signs_for_no_other():
    last = dict(images.read("controller").last)
    assert "openssh-client" in last["RUN"]
    assert f"echo rollout:x:{last['USER']}:::/usr/sbin/nologin >> /etc/passwd" in last["RUN"]


@pytest.mark.parametrize("name", FILES)
def test_both_stages_stand_on_one_base_by_digest_of_the_python_that_is_tested(name):
    text = (ROOT / FILES[name]).read_text()
    bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm@sha256:[0-9a-f]{64}", bases[0])


def test_the_controllers_command_is_the_deployments_and_it_reads_a_history_with_git_alone(built, tmp_path):
    venv = built("controller")
    assert run(venv, *images.read("controller").command).stdout.startswith("usage: rollout run")
    pod = yaml.safe_load((ROOT / "base/rollout-controller/deployment.yaml").read_text())["spec"]["template"]["spec"]
    assert pod["containers"][0]["command"] == images.read("controller").command[:2]
    desk = Desk.planted(tmp_path / "desk")
    desk.start("8")
    closed = f"http://127.0.0.1:{free_port()}"
    words = (
        "--repo",
        desk.path.as_uri(),
        "--prometheus",
        closed,
        "--argocd",
        closed,
        "--once",
        "--cache",
        str(tmp_path / "cache"),
    )
    done = run(venv, "rollout", "run", *words, cwd=tmp_path, programs=("git",))
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"prod/credit.*hold", done.stdout + done.stderr)


@pytest.fixture
def serving(built, tmp_path) -> Iterator[str]:
    """The model server's own command on a version that was trained here; the address of its model."""
    venv, folder = built("model-server"), tmp_path / "models"
    app = find("credit")
    artifact.write(folder, train(app, app.load("generated")).files)
    public = signature.make_keys(tmp_path / "keys")
    signer = signature.Signer.of(public.with_name(signature.PRIVATE))
    (folder / artifact.SIGNATURE).write_bytes(signer.sign(folder, "credit/1"))
    manifest = yaml.safe_load((ROOT / "base/model-server/seldondeployment.yaml").read_text())
    container = manifest["spec"]["predictors"][0]["componentSpecs"][0]["spec"]["containers"][0]
    ports = {name: str(free_port()) for name in ("HTTP", "GRPC", "METRICS")}
    told = {one["name"]: one["value"] for one in container["env"]}
    told |= {"MODEL_SIGNING_KEYS": public.read_text()}
    told |= {"MODEL_SHA256": artifact.digest(folder), "MLSERVER_MODEL_URI": str(folder), "OMP_NUM_THREADS": "1"}
    told |= {f"MLSERVER_{name}_PORT": port for name, port in ports.items()}
    told |= {"MLSERVER_METRICS_DIR": str(tmp_path / "metrics")}
    command = [str(folder) if word == "/mnt/models" else word for word in images.read("model-server").command]
    log = (tmp_path / "log").open("w")
    process = subprocess.Popen(command, cwd=tmp_path, env={**environment(venv), **told}, stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{ports['HTTP']}/v2/models/{told['MLSERVER_MODEL_NAME']}"
    finally:
        process.terminate()
        process.wait(30)
        log.close()
        print((tmp_path / "log").read_text()[-3000:])


def test_the_model_servers_command_becomes_ready_with_the_environment_of_the_deployment(serving):
    deadline = time.monotonic() + 180
    while True:
        try:
            with urllib.request.urlopen(f"{serving}/ready", timeout=10) as answer:
                assert answer.status == 200
                break
        except (urllib.error.URLError, ConnectionError):
            assert time.monotonic() < deadline
            time.sleep(0.5)
    with urllib.request.urlopen(serving, timeout=10) as answer:
        assert len(json.load(answer)["inputs"]) == len(find("credit").columns)


def test_the_replay_runs_in_the_model_servers_image(built):
    pod = yaml.safe_load((ROOT / "base/replay/deployment.yaml").read_text())["spec"]["template"]["spec"]
    done = run(built("model-server"), *pod["containers"][0]["command"], "--help")
    assert (done.returncode, done.stdout[:6]) == (0, "usage:")


def test_the_trainer_runs_the_first_step_as_a_cluster_gives_it(built, tmp_path):
    venv = built("trainer")
    compiled = next(iter(yaml.safe_load_all((ROOT / "pipelines/train.yaml").read_text())))
    container = compiled["deploymentSpec"]["executors"]["exec-ingest"]["container"]
    rows = tmp_path / "raw"
    dataset = {"name": "raw", "type": {"schemaTitle": "system.Dataset"}, "uri": str(rows), "metadata": {}}
    told = {
        "inputs": {"parameterValues": {"app": "credit", "data": "generated"}},
        "outputs": {
            "artifacts": {"raw": {"artifacts": [dataset]}},
            "outputFile": str(tmp_path / "outputs.json"),
        },
    }
    words = [json.dumps(told) if word == "{{$}}" else word for word in container["args"]]
    done = run(venv, *container["command"], *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert {len(values) > 1000 for values in json.loads(rows.read_text())["table"].values()} == {True}


def test_the_trainers_image_is_the_one_that_the_compiled_pipeline_names():
    named = yaml.safe_load((ROOT / "pipelines/image.yaml").read_text())["image"]
    compiled = next(iter(yaml.safe_load_all((ROOT / "pipelines/train.yaml").read_text())))
    assert {one["container"]["image"] for one in compiled["deploymentSpec"]["executors"].values()} == {named}


def test_the_trainers_steps_can_all_be_imported(built):
    assert (
        _python(built("trainer"), "from pipelines import steps; from model import store; import kfp, boto3; print('all')")
        == "all\n"
    )


def test_the_containerfiles_are_all_there_is():
    found = subprocess.run(
        ["git", "ls-files", "*Containerfile*", "*Dockerfile*"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert sorted(found.stdout.split()) == sorted(FILES.values())


REFUSED = {
    "an instruction that cannot be run here": ("FROM a AS b\nADD x y\nFROM a\n", "ADD x y: cannot be run here"),
    "a step that fails": (
        "FROM a AS b\nRUN echo why; exit 3\nFROM a\n",
        "RUN echo why; exit 3\nended with 3; its last lines:\nwhy",
    ),
    "one stage": ("FROM a\n", "1 stages; one that builds and one that runs would be right"),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_proved_here_is_refused(tmp_path, text, message):
    (tmp_path / "rollout").mkdir()
    (tmp_path / "rollout/Containerfile").write_text(text)
    with pytest.raises(LabError) as error:
        images.build("controller", tmp_path / "out", tmp_path)
    assert str(error.value) == f"rollout/Containerfile: {message}"


def test_the_sizes_are_printed(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert images.main(["controller", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["image"] == "controller"
    assert 3 < row["mb"] < 40
    with pytest.raises(SystemExit):
        images.main(["moon"])
