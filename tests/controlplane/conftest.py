"""Argo CD's own program, asked on this machine about our settings, without a cluster."""

import os
import subprocess

import pytest

from lab.controlplane import build

NOBODY = """
apiVersion: v1
kind: Config
clusters: [{name: none, cluster: {server: "http://127.0.0.1:1"}}]
contexts: [{name: none, context: {cluster: none, namespace: argocd}}]
current-context: none
"""


@pytest.fixture
def argocd(tmp_path):
    """Run `argocd admin WORDS`; what it says, and whether it ended well."""
    nobody = tmp_path / "kubeconfig"
    nobody.write_text(NOBODY)

    def admin(*words):
        environment = {**os.environ, "KUBECONFIG": str(nobody), "ARGOCD_BINARY_NAME": "argocd"}
        argv = [build.program("argocd"), "admin", *words]
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
        return done.stdout, done.returncode == 0

    return admin
