"""The services a command names on its command line."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping

from rollout import propose
from rollout.argocd import ArgoCD
from rollout.follow import HISTORY
from rollout.gate.power import Traffic
from rollout.prometheus import Prometheus
from rollout.release import Key
from rollout.samples import LOOKBACK, WIDTH
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


def traffic_of(prometheus: Prometheus, versions: Mapping[Key, str]) -> dict[Key, Traffic]:
    """Return what the stable version of each release did in the last half hour; nothing for those without requests."""
    until = time.time() // WIDTH * WIDTH
    begin = until - HISTORY
    readings = prometheus.read(versions, {}, begin - LOOKBACK, until, WIDTH)
    return propose.measured(((one.after, one.until, one.found) for one in readings), versions, begin, until, WIDTH)
