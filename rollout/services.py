"""The services a command names on its command line."""

from __future__ import annotations

import argparse

from rollout.argocd import ArgoCD
from rollout.prometheus import Prometheus
from rollout.web import Service


def prometheus_of(chosen: argparse.Namespace) -> Prometheus | None:
    """Return the Prometheus that --prometheus names, None without."""
    return Prometheus(Service("prometheus", chosen.prometheus)) if chosen.prometheus else None


def argocd_of(chosen: argparse.Namespace) -> ArgoCD | None:
    """Return the Argo CD that --argocd names, None without."""
    if not chosen.argocd:
        return None
    service = Service("argocd", chosen.argocd, chosen.argocd_token_file, chosen.argocd_ca_file)
    return ArgoCD(service, chosen.argocd_namespace)
