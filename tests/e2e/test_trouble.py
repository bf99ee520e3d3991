"""What goes wrong in a cluster: a person's patch, canaries that die or never come, an admission that refuses."""

import asyncio
import re
import time

import pytest
import yaml

from lab.controlplane import api as kube

from .stage import Stage

# What the commit that takes such a canary out says: the reason, in the words of Argo CD's health check, before or after the
# operator has counted its replicas.
NEVER_READY = r"stable 1 at 100 %, canary 2 at 0 %(: 0 of 3 replicas ready|\. Not ready yet)"


def spoken(commits):
    """The subjects and sentences of commits, as one text."""
    return "\n".join(f"{commit.subject}\n{commit.sentence}" for commit in commits)


@pytest.mark.app("patched")
async def test_live_traffic_that_somebody_patched_is_healed_and_that_time_is_no_evidence(stage):
    app = "patched"
    _, merged = await stage.asked_and_started(app)
    step = await stage.canary(app, 5)
    await stage.split(app, {"stable/1": 95, "canary/2": 5})
    await asyncio.sleep(6)  # the step's evidence has begun
    predictors = (await stage.seldon(app))["spec"]["predictors"]
    for one in predictors:
        one["traffic"] = 50
    began = time.time()
    await stage.world.admin.patch(kube.SELDON_DEPLOYMENTS, f"{app}-prod", app, {"spec": {"predictors": predictors}})
    await stage.split(app, {"stable/1": 50, "canary/2": 50}, within=20)
    await stage.split(app, {"stable/1": 95, "canary/2": 5}, within=60)
    ended = time.time()
    stage.times["live traffic patched -> healed"] = ended - began
    await stage.rests(app, "2", within=300)
    advance = next(commit for commit in await stage.commits(app, merged.sha) if commit.canary == 25)
    counted = int(re.search(r"canary \d+ of ([\d ]+) requests", advance.sentence)[1].replace(" ", ""))
    client = await stage.stop_load(app)
    all_of_it = client.between(step.time, advance.time).parts("served")["canary/2"]
    patched = client.between(began - 1, ended + 1).parts("served")["canary/2"]  # its counts are by whole seconds
    assert patched > 0.1 * client.between(began - 1, ended + 1).total("served")  # committed is a twentieth
    assert counted <= all_of_it - patched / 2, (counted, all_of_it, patched)


async def taken_out(stage: Stage, app: str, merged, within: float):
    """Wait until the canary is out again; what the controller said."""
    await stage.rests(app, "1", within=within)
    return await stage.commits(app, merged.sha)


@pytest.mark.app("crashing")
async def test_a_canary_that_was_fine_at_25_and_then_crash_loops_is_taken_out(stage):
    app = "crashing"
    _, merged = await stage.asked_and_started(app)
    await stage.canary(app, 25, within=240)
    await stage.split(app, {"stable/1": 75, "canary/2": 25})
    for (namespace, _), group in stage.world.kubelet.groups.items():
        if namespace == f"{app}-prod" and "-canary-" in group.name:
            stage.world.nodes.broken.add(group.name)
            group.process.crash()
    commits = await taken_out(stage, app, merged, within=240)
    assert re.search("does not answer|harm e-value", spoken(commits[-2:]))
    assert not any(commit.stable == "2" for commit in commits)
    await stage.stop_load(app)


@pytest.mark.app("unready")
async def test_a_canary_that_is_never_ready_gets_no_traffic_and_is_taken_out_at_the_deadline(stage):
    app, people = "unready", await stage.person("unready")
    stage.world.behave(app, "2", ready=False)
    merged = await stage.start(people, app, "2")
    commits = await taken_out(stage, app, merged, within=240)
    assert max(commit.canary for commit in commits) == 0
    assert commits[-1].time - merged.time >= 90
    assert re.search(NEVER_READY, spoken(commits))


@pytest.mark.app("nowhere")
async def test_a_model_uri_that_does_not_exist_is_taken_out_at_the_deadline(stage):
    app, people = "nowhere", await stage.person("nowhere")
    merged = await stage.start(people, app, "2", uri=f"s3://models/{app}/2")
    commits = await taken_out(stage, app, merged, within=240)
    assert max(commit.canary for commit in commits) == 0
    assert commits[-1].time - merged.time >= 90
    assert re.search(NEVER_READY, spoken(commits))


POLICY = """
- apiVersion: admissionregistration.k8s.io/v1
  kind: ValidatingAdmissionPolicy
  metadata: {name: refused}
  spec:
    failurePolicy: Fail
    matchConstraints:
      namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: refused-prod}}
      resourceRules:
        - apiGroups: [machinelearning.seldon.io]
          apiVersions: ["*"]
          operations: [CREATE, UPDATE]
          resources: [seldondeployments]
    validations:
      - expression: object.spec.predictors.size() == 1
        message: no canaries on a Friday
- apiVersion: admissionregistration.k8s.io/v1
  kind: ValidatingAdmissionPolicyBinding
  metadata: {name: refused}
  spec: {policyName: refused, validationActions: [Deny]}
"""


@pytest.mark.app("refused")
async def test_an_abort_lands_while_the_starts_sync_is_failing_and_people_are_told_once(stage):
    app, people = "refused", await stage.person("refused")
    stage.world.behave(app, "2")
    await stage.world.admin.apply_all(yaml.safe_load(POLICY))
    merged = await stage.start(people, app, "2")

    async def failing():
        operation = (await stage.application(f"{app}-prod")).get("operationState") or {}
        return "no canaries on a Friday" in operation.get("message", "")

    await stage.wait("the sync fails with the admission's words", failing, 90)
    commits = await taken_out(stage, app, merged, within=300)
    assert max(commit.canary for commit in commits) == 0
    assert "no canaries on a Friday" in spoken(commits)
    (letter,) = [text for _, text in stage.world.letters.told if text.startswith(f"{app}-prod")]
    first, words, link = letter.splitlines()
    assert first == f"{app}-prod: what git says cannot be applied. It is tried again until a commit repairs it."
    assert words.startswith(f"SeldonDeployment {app}: ")
    assert "no canaries on a Friday" in words
    assert re.fullmatch(re.escape(stage.world.remote.url.removesuffix(".git")) + "/commit/[0-9a-f]{40}", link)
    assert stage.world.letters.refused == 0
