"""Who may sync what: argocd/project.yaml's roles and the default of argocd/install, decided by Argo CD's own program."""

import pytest
import yaml

from lab.controlplane.world import ROOT

MAY = {  # group: Applications that it may sync by hand
    "models-break-glass": {"prod/credit-prod"},
    "models": {"non-prod/credit-dev", "non-prod/credit-staging"},
    "anybody": set(),
}
APPLICATIONS = ("prod/credit-prod", "non-prod/credit-dev", "non-prod/credit-staging", "platform/rollout-controller")


def policy():
    """The projects' policies and groups, as Argo CD puts them together."""
    for project in yaml.safe_load_all((ROOT / "argocd/project.yaml").read_text()):
        for role in project["spec"].get("roles", []):
            yield from role["policies"]
            for group in role["groups"]:
                yield f"g, {group}, proj:{project['metadata']['name']}:{role['name']}"


def default():
    install = yaml.safe_load((ROOT / "argocd/install/kustomization.yaml").read_text())
    (own,) = (one for one in install["configMapGenerator"] if one["name"] == "argocd-rbac-cm")
    return next(one.removeprefix("policy.default=") for one in own["literals"] if one.startswith("policy.default="))


@pytest.mark.parametrize("group", MAY)
def test_nobody_syncs_prod_by_hand_but_break_glass_and_nobody_changes_an_application(argocd, tmp_path, group):
    (tmp_path / "policy.csv").write_text("\n".join(policy()))
    given = ("--policy-file", str(tmp_path / "policy.csv"), "--default-role", default())

    def may(action, application):
        said, well = argocd("settings", "rbac", "can", group, action, "applications", application, *given)
        assert (said.strip(), well) in {("Yes", True), ("No", False)}, said
        return well

    assert {one for one in APPLICATIONS if may("sync", one)} == MAY[group]
    assert [one for one in APPLICATIONS if not may("get", one)] == []
    for action in ("create", "update", "delete", "override"):
        assert [one for one in APPLICATIONS if may(action, one)] == []
