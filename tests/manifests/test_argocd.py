"""argocd/: what it makes of the folders, and what it must never do."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from lab import applicationset, tools

ROOT = Path(__file__).resolve().parents[2]
ARGOCD = ROOT / "argocd"
NAMED = "{{index .path.segments 2}}-{{index .path.segments 1}}"
OURS = "app.kubernetes.io/part-of=rollout"  # what letters, links and the way out go by, among other teams' Applications


def documents(path):
    return [item for item in yaml.safe_load_all(path.read_text()) if item]


def sets():
    return {item["metadata"]["name"]: item["spec"] for item in documents(ARGOCD / "applicationset.yaml")}


def made():
    """Every Application that this tree makes, by name."""
    read = applicationset.read((ARGOCD / "applicationset.yaml").read_text())
    folders = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "overlays").glob("*/*") if path.is_dir())
    applications = [read.application(folder) for folder in read.folders(folders)]
    return {item["metadata"]["name"]: item for item in applications}


def projects():
    return {item["metadata"]["name"]: item["spec"] for item in documents(ARGOCD / "project.yaml")}


def test_every_folder_but_common_is_one_application_named_app_env():
    folders = [path for path in (ROOT / "overlays").glob("*/*") if path.name != "common"]
    assert set(made()) == {f"{path.name}-{path.parent.name}" for path in folders}
    for name, application in made().items():
        assert application["spec"]["destination"]["namespace"] == name


@pytest.mark.parametrize(("name", "sync"), [("dev", "sync"), ("models", "create-update")])
def test_only_devs_applications_are_deleted_with_their_folder(name, sync):
    assert sets()[name]["syncPolicy"]["applicationsSync"] == sync
    taken = {folder for folder in made() if folder.endswith("-dev")}
    read = applicationset.read((ARGOCD / "applicationset.yaml").read_text())
    own = next(one for one, spec in zip(read.sets, sets(), strict=True) if spec == name)
    mine = {
        f"{p.name}-{p.parent.name}" for p in (ROOT / "overlays").glob("*/*") if own.takes(f"overlays/{p.parent.name}/{p.name}")
    }
    assert mine == (taken if name == "dev" else set(made()) - taken)


def test_both_sets_make_the_same_kind_of_application_and_stop_at_a_missing_key():
    dev, models = sets()["dev"], sets()["models"]
    assert dev["template"] == models["template"]
    assert dev["goTemplateOptions"] == models["goTemplateOptions"] == ["missingkey=error"]


def test_every_application_carries_the_label_that_tells_ours_from_other_teams():
    alone = [one for name in ("root", "rollout-controller") for one in documents(ARGOCD / f"{name}.yaml")]
    name, _, value = OURS.partition("=")
    assert {one["metadata"]["labels"][name] for one in (*alone, *made().values())} == {value}
    assert f"-l {OURS} " in (ROOT / "docs/on-your-cluster.md").read_text()


def test_a_failing_sync_is_tried_again_at_the_newest_commit():
    for application in made().values():
        policy = application["spec"]["syncPolicy"]
        assert policy["automated"] == {"prune": True, "selfHeal": True}
        assert (policy["retry"]["limit"], policy["retry"]["refresh"]) == (-1, True)
        assert set(policy["syncOptions"]) == {"CreateNamespace=true", "ServerSideApply=true"}


def test_an_application_is_rendered_again_for_what_it_reads_and_nothing_else():
    application = made()["credit-prod"]
    paths = application["metadata"]["annotations"]["argocd.argoproj.io/manifest-generate-paths"]
    assert paths == ".;../common;/base;/apps/credit"


def test_every_application_is_allowed_by_its_project_and_prod_takes_nothing_else():
    assert {name: item["spec"]["project"] for name, item in made().items()} == {
        name: "prod" if name.endswith("-prod") else "non-prod" for name in made()
    }
    for application in [*made().values(), *documents(ARGOCD / "rollout-controller.yaml")]:
        spec = application["spec"]
        project = projects()[spec["project"]]
        assert spec["source"]["repoURL"] in project["sourceRepos"]
        namespaces = [re.escape(item["namespace"]).replace(r"\*", ".*") for item in project["destinations"]]
        assert any(re.fullmatch(pattern, spec["destination"]["namespace"]) for pattern in namespaces)
    assert [item["namespace"] for item in projects()["prod"]["destinations"]] == ["*-prod"]


def rendered(folder):
    out = subprocess.run([tools.kubectl(), "kustomize", str(folder)], capture_output=True, text=True, check=True).stdout
    return [item for item in yaml.safe_load_all(out) if item]


@pytest.mark.parametrize(
    "folder", [*sorted((ROOT / "overlays").glob("*/*/release")), ROOT / "base/rollout-controller/x"], ids=str
)
def test_a_project_allows_every_kind_that_its_applications_render(folder):
    folder = folder.parent
    name = f"{folder.name}-{folder.parent.name}"
    project = projects()[made()[name]["spec"]["project"] if name in made() else "platform"]
    allowed = {(item["group"], item["kind"]) for item in project["namespaceResourceWhitelist"]}
    for item in rendered(folder):
        group = item["apiVersion"].rpartition("/")[0]
        assert (group, item["kind"]) in allowed


def test_prods_folders_make_nothing_of_the_kinds_that_are_allowed_only_to_be_shown():
    kinds = {item["kind"] for folder in (ROOT / "overlays/prod").glob("*/release") for item in rendered(folder.parent)}
    assert kinds == {"SeldonDeployment", "ServiceAccount", "PodMonitor", "PodDisruptionBudget"}


def test_nothing_blocks_an_abort_and_nothing_waits_after_a_sync():
    text = "".join(
        path.read_text() for folder in ("argocd", "base", "apps", "overlays") for path in (ROOT / folder).rglob("*.yaml")
    )
    for word in ("syncWindows:", "RollingSync\n", "PostSync", "ignoreDifferences:"):
        assert word not in text
    for folder in (ROOT / "overlays").glob("*/*/release"):
        waves = {
            item["metadata"].get("annotations", {}).get("argocd.argoproj.io/sync-wave", "0") for item in rendered(folder.parent)
        }
        assert waves == {"0"}  # one wave is the last wave: no sync waits for a canary to be healthy


def test_the_controller_may_read_applications_and_nothing_else():
    items = rendered(ROOT / "base/rollout-controller")
    roles = [item for item in items if item["kind"] in ("Role", "ClusterRole")]
    assert [(item["kind"], item["metadata"]["namespace"], item["rules"]) for item in roles] == [
        ("Role", "argocd", [{"apiGroups": ["argoproj.io"], "resources": ["applications"], "verbs": ["get", "list"]}])
    ]
    (deployment,) = (item for item in items if item["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert "@sha256:" in container["image"]
    assert not any("PASSWORD" in word or "@github" in word for word in container["args"])


def test_the_controller_signs_where_a_secret_and_a_setting_name_a_key_and_starts_without_them():
    items = rendered(ROOT / "base/rollout-controller")
    pod = next(item for item in items if item["kind"] == "Deployment")["spec"]["template"]["spec"]
    settings = next(item for item in items if item["kind"] == "ConfigMap")["data"]
    volume = {"secretName": "rollout-controller-signing", "optional": True, "defaultMode": 0o440}
    assert next(one for one in pod["volumes"] if one["name"] == "signing") == {"name": "signing", "secret": volume}
    (container,) = pod["containers"]
    mount = {"name": "signing", "mountPath": "/etc/rollout-signing", "readOnly": True}
    assert next(one for one in container["volumeMounts"] if one["name"] == "signing") == mount
    assert "--signing-key=$(SIGNING_KEY)" in container["args"]
    assert settings["SIGNING_KEY"] == ""
    page = (ROOT / "docs/on-your-cluster.md").read_text()
    assert "`rollout-controller-signing`" in page
    assert f"`SIGNING_KEY={mount['mountPath']}/signing-key`" in page


def test_every_setting_that_the_controllers_words_name_is_set():
    items = rendered(ROOT / "base/rollout-controller")
    (container,) = next(item for item in items if item["kind"] == "Deployment")["spec"]["template"]["spec"]["containers"]
    settings = next(item for item in items if item["kind"] == "ConfigMap")["data"]
    assert set(re.findall(r"\$\((\w+)\)", " ".join(container["args"]))) == set(settings)


def test_root_is_applied_by_hand_and_names_the_rest():
    (root,) = documents(ARGOCD / "root.yaml")
    assert root["spec"]["source"]["path"] == "argocd"
    kinds = [item["kind"] for item in rendered(ARGOCD)]
    assert sorted(kinds) == sorted(["AppProject"] * 3 + ["ApplicationSet"] * 2 + ["Application"])


def test_what_serves_outside_dev_goes_only_when_a_person_confirms():
    for folder in (ROOT / "overlays").glob("*/*/release"):
        (sdep,) = (item for item in rendered(folder.parent) if item["kind"] == "SeldonDeployment")
        options = sdep["metadata"].get("annotations", {}).get("argocd.argoproj.io/sync-options", "")
        assert options == ("" if folder.parts[-3] == "dev" else "Prune=confirm,Delete=confirm"), folder


def test_people_get_letters_of_failed_syncs_and_degraded_releases_only_and_no_secret_stands_in_them():
    install = yaml.safe_load((ARGOCD / "install/kustomization.yaml").read_text())
    (own,) = (one for one in install["configMapGenerator"] if one["name"] == "argocd-notifications-cm")
    files = {
        key: yaml.safe_load((ARGOCD / "install" / path).read_text()) for key, path in (one.split("=") for one in own["files"])
    }
    assert sorted(files) == [
        "service.webhook.people",
        "subscriptions",
        "template.degraded",
        "template.sync-failed",
        "trigger.degraded",
        "trigger.sync-failed",
    ]
    assert files["subscriptions"] == [{"recipients": ["people"], "triggers": ["sync-failed", "degraded"], "selector": OURS}]
    assert files["service.webhook.people"]["url"] == "$people-url"
    assert {one["value"] for one in files["service.webhook.people"]["headers"]} == {"application/json", "Bearer $people-token"}
    for name in ("sync-failed", "degraded"):
        ((condition,), template) = files[f"trigger.{name}"], files[f"template.{name}"]
        assert condition["send"] == [name]
        assert condition["oncePer"]
        assert set(template["webhook"]) == {"people"}


def test_every_link_names_its_page_and_where_it_stands():
    for place in ("application", "resource"):
        links = yaml.safe_load((ARGOCD / f"install/links/{place}.yaml").read_text())
        assert {"commit that is synced", "dashboard", "registry"} <= {link["title"] for link in links}
        for link in links:
            assert set(link) <= {"title", "url", "description", "icon.class", "if"}
            assert link["url"].startswith(("https://", "{{trimSuffix"))


def test_every_marked_command_of_the_page_is_run_by_somebody():
    marked = re.findall(r"<!-- step: (\w+) -->\n```sh\n", (ROOT / "docs/on-your-cluster.md").read_text())
    sources = [
        *(ROOT / "lab/controlplane").glob("*.py"),
        *(ROOT / "tests/e2e").glob("*.py"),
        *(ROOT / "tests/controlplane").glob("*.py"),
    ]
    run = re.findall(r'\.step\("(\w+)"\)', "".join(path.read_text() for path in sources))
    assert sorted(marked) == sorted(set(run))
    assert len(marked) == len(set(marked)) >= 6
