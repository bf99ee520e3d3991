"""The training run as a Kubeflow Pipelines v2 DAG: ingest -> validate -> features -> train by each learner, side by side ->
evaluate and choose -> register.

A component is one call of steps.py: what a step does is there, and the same on one machine (`make train`).

| setting           | why                                                                                              |
|-------------------|--------------------------------------------------------------------------------------------------|
| image             | the project's own, with the locked environment in it; no step installs anything                  |
| retry             | two more times, except validating and evaluating, whose "no" is an answer                        |
| caching           | features, training and evaluating are functions of their inputs; the others ask the world        |
| cpu, memory       | what a step was seen to use, doubled                                                             |

`python -m pipelines compile` writes train.yaml, which a cluster gets and a test keeps current.
"""

from pathlib import Path
from typing import Any

import yaml
from kfp import compiler, dsl, local
from kfp.dsl import HTML, Artifact, ClassificationMetrics, Dataset, Input, Markdown, Metrics, Model, Output

IMAGE = str(yaml.safe_load(Path(__file__).with_name("image.yaml").read_text())["image"])
COMPILED = Path(__file__).with_name("train.yaml")
component = dsl.component(base_image=IMAGE, install_kfp_package=False)


def _sized(task: Any, cpu: str, memory: str, *, cache: bool = True, retries: int = 2) -> Any:
    task.set_cpu_request(cpu).set_memory_request(memory).set_memory_limit(memory).set_caching_options(cache)
    return task.set_retry(retries) if retries else task


@component
def ingest(app: str, data: str, raw: Output[Dataset]) -> None:  # noqa: D103
    from pathlib import Path  # noqa: PLC0415

    from pipelines import steps  # noqa: PLC0415

    steps.ingest(app, data or None, Path(raw.path))


@component
def validate(  # noqa: D103
    app: str,
    registry: str,
    stable: str,
    stable_sha256: str,
    raw: Input[Dataset],
    rows: Output[Dataset],
    report: Output[HTML],
    checks: Output[Artifact],
    counts: Output[Metrics],
) -> None:
    import tempfile  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    from pipelines import registry as registries  # noqa: PLC0415
    from pipelines import steps  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        reference = registries.reference(registries.at(registry), app, stable, stable_sha256, Path(folder))
        outputs = (Path(one.path) for one in (rows, report, checks))
        sound, aside = steps.validate(app, Path(raw.path), reference, *outputs)
    rows.metadata.update(sha256=sound.sha256, origin=sound.origin)
    counts.log_metric("rows", len(sound.target))
    counts.log_metric("quarantined", sum(aside.values()))
    counts.log_metric("target", float(sound.target.mean()))


@component
def features(app: str, rows: Input[Dataset], table: Output[Dataset]) -> None:  # noqa: D103
    from pathlib import Path  # noqa: PLC0415

    from pipelines import steps  # noqa: PLC0415

    table.metadata.update(steps.features(app, Path(rows.path), Path(table.path)))


@component
def train(app: str, learner: str, seed: int, table: Input[Dataset], version: Output[Model]) -> None:  # noqa: D103
    from pathlib import Path  # noqa: PLC0415

    from pipelines import steps  # noqa: PLC0415

    steps.learn(app, learner, Path(table.path), seed, Path(version.path))
    version.metadata.update(framework=learner)


@component
def evaluate(  # noqa: D103
    app: str,
    gates: dict,
    store: str,
    version: str,
    commit: str,
    seed: int,
    stable: str,
    stable_sha256: str,
    table: Input[Dataset],
    lightgbm: Input[Model],
    xgboost: Input[Model],
    champion: Output[Model],
    evaluation: Output[Artifact],
    card: Output[Markdown],
    page: Output[HTML],
    figures: Output[Metrics],
    curves: Output[ClassificationMetrics],
) -> str:
    from pathlib import Path  # noqa: PLC0415

    from pipelines import steps  # noqa: PLC0415

    folders = {"lightgbm": Path(lightgbm.path), "xgboost": Path(xgboost.path)}
    out = {"champion": champion, "evaluation": evaluation, "card.md": card, "card.html": page}
    found = steps.evaluate(
        app,
        Path(table.path),
        folders,
        (stable, stable_sha256),
        gates,
        steps.Wanted(version, store, commit, seed),
        {name: Path(one.path) for name, one in out.items()},
    )
    for one in found["candidates"]:
        for name, figure in one["figures"].items():
            figures.log_metric(f"{one['learner']}/{name}", figure["value"])
    if found["curves"]:
        curves.log_roc_curve(*found["curves"]["roc"])
        curves.log_confusion_matrix(["0", "1"], found["curves"]["confusion"])
    champion.metadata.update(learner=found["champion"], sha256=found["sha256"])
    return str(found["sha256"])


@component
def register(  # noqa: D103
    app: str,
    store: str,
    version: str,
    registry: str,
    champion: Input[Model],
    evaluation: Input[Artifact],
    card: Input[Markdown],
    page: Input[HTML],
    table: Input[Dataset],
) -> str:
    import os  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    from model import signature  # noqa: PLC0415
    from pipelines import registry as registries  # noqa: PLC0415
    from pipelines import steps  # noqa: PLC0415

    kept = {"card.md": Path(card.path), "card.html": Path(page.path), registries.FEATURES: Path(table.path)}
    folder, signer = registries.at(registry), signature.signer(os.environ)
    return steps.register(app, version, store, Path(champion.path), Path(evaluation.path), kept, folder, signer)


@dsl.pipeline(name="train", description="From rows to a judged, published and registered version.")
def pipeline(  # noqa: D103
    app: str,
    data: str,
    gates: dict,
    store: str,
    version: str,
    registry: str = "",
    commit: str = "",
    stable: str = "",
    stable_sha256: str = "",
    seed: int = 1,
) -> str:
    raw = _sized(ingest(app=app, data=data), "1", "1G", cache=False)
    now = {"stable": stable, "stable_sha256": stable_sha256}
    sound = validate(app=app, registry=registry, raw=raw.outputs["raw"], **now)
    sound = _sized(sound, "1", "2G", cache=False, retries=0)
    table = _sized(features(app=app, rows=sound.outputs["rows"]), "1", "2G").outputs["table"]
    made = {
        name: _sized(train(app=app, learner=name, seed=seed, table=table), "1", "2G").set_display_name(name)
        for name in ("lightgbm", "xgboost")
    }
    judged = evaluate(
        app=app,
        gates=gates,
        store=store,
        version=version,
        commit=commit,
        seed=seed,
        **now,
        table=table,
        **{name: task.outputs["version"] for name, task in made.items()},
    )
    judged = _sized(judged, "1", "2G", retries=0)
    kept = {name: judged.outputs[name] for name in ("champion", "evaluation", "card", "page")}
    done = register(app=app, store=store, version=version, registry=registry, table=table, **kept)
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
