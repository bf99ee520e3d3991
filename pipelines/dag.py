"""The training run as a Kubeflow Pipelines v2 DAG: ingest -> train by each learner, side by side -> judge -> publish.

A component is one call of steps.py or the store: what a step does is there, and the same on one machine (`make train`).

| setting           | why                                                                                              |
|-------------------|--------------------------------------------------------------------------------------------------|
| image             | the project's own, with the locked environment in it; no step installs anything                  |
| retry             | two more times, except judging, whose "no" is an answer                                          |
| caching           | training and judging, which are functions of their inputs; never ingest and publish              |
| cpu, memory       | what a step was seen to use, doubled                                                             |

`python -m pipelines compile` writes train.yaml, which a cluster gets and a test keeps current.
"""

from pathlib import Path
from typing import Any

from kfp import compiler, dsl, local
from kfp.dsl import Dataset, Input, Metrics, Model, Output

IMAGE = "registry.example.com/models/pipelines:0.1.0"
COMPILED = Path(__file__).with_name("train.yaml")
component = dsl.component(base_image=IMAGE, install_kfp_package=False)


def _sized(task: Any, cpu: str, memory: str, *, cache: bool = True, retries: int = 2) -> Any:
    task.set_cpu_request(cpu).set_memory_request(memory).set_memory_limit(memory).set_caching_options(cache)
    return task.set_retry(retries) if retries else task


@component
def ingest(app: str, data: str, rows: Output[Dataset]) -> dict:  # noqa: D103
    from pathlib import Path  # noqa: PLC0415

    from pipelines import steps  # noqa: PLC0415

    taken, aside = steps.ingest(app, data or None, Path(rows.path))
    rows.metadata.update(sha256=taken.sha256, origin=taken.origin, rows=len(taken.target))
    return aside


@component
def train(app: str, learner: str, seed: int, rows: Input[Dataset], version: Output[Model]) -> None:  # noqa: D103
    from pathlib import Path  # noqa: PLC0415

    from pipelines import steps  # noqa: PLC0415

    steps.learn(app, learner, Path(rows.path), seed, Path(version.path))


@component
def judge(  # noqa: D103
    app: str,
    gates: dict,
    store: str,
    stable: str,
    stable_sha256: str,
    rows: Input[Dataset],
    lightgbm: Input[Model],
    xgboost: Input[Model],
    champion: Output[Model],
    figures: Output[Metrics],
) -> str:
    from pathlib import Path  # noqa: PLC0415

    from pipelines import steps  # noqa: PLC0415

    folders = {"lightgbm": Path(lightgbm.path), "xgboost": Path(xgboost.path)}
    found = steps.judge_files(app, Path(rows.path), folders, (store, stable, stable_sha256), gates, Path(champion.path))
    for one in found["candidates"]:
        for name, figure in one["figures"].items():
            figures.log_metric(f"{one['learner']}/{name}", figure["value"])
    champion.metadata.update(learner=found["champion"], sha256=found["sha256"])
    return str(found["sha256"])


@component
def publish(app: str, store: str, version: str, champion: Input[Model]) -> str:  # noqa: D103
    import os  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    from model import signature  # noqa: PLC0415
    from model import store as stores  # noqa: PLC0415

    return stores.publish(stores.opened(store), Path(champion.path), app, version, signature.signer(os.environ))


@dsl.pipeline(name="train", description="From rows to a judged and published version.")
def pipeline(  # noqa: D103
    app: str,
    data: str,
    gates: dict,
    store: str,
    version: str,
    stable: str = "",
    stable_sha256: str = "",
    seed: int = 1,
) -> str:
    rows = _sized(ingest(app=app, data=data), "1", "2G", cache=False)
    made = {
        name: _sized(train(app=app, learner=name, seed=seed, rows=rows.outputs["rows"]), "1", "2G").set_display_name(name)
        for name in ("lightgbm", "xgboost")
    }
    judged = judge(
        app=app,
        gates=gates,
        store=store,
        stable=stable,
        stable_sha256=stable_sha256,
        rows=rows.outputs["rows"],
        **{name: task.outputs["version"] for name, task in made.items()},
    )
    judged = _sized(judged, "1", "2G", retries=0)
    done = publish(app=app, store=store, version=version, champion=judged.outputs["champion"])
    return _sized(done, "500m", "1G", cache=False).output


def compile_to(path: Path) -> None:
    """Write the pipeline as a cluster gets it."""
    compiler.Compiler().compile(pipeline, str(path))


def run_here(arguments: dict[str, Any], folder: Path) -> str:
    """Run the whole DAG on this machine by Kubeflow's own local runner, in this environment; return the published address."""
    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=str(folder), raise_on_error=True)
    return str(pipeline(**arguments).output)


def submit(host: str, arguments: dict[str, Any]) -> str:
    """Send the compiled pipeline to a cluster; return the run's id."""
    from kfp import Client  # noqa: PLC0415

    made = Client(host=host).create_run_from_pipeline_package(str(COMPILED), arguments=arguments)
    return str(made.run_id)
