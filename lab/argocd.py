"""Stands in for Argo CD, and says so. It obeys argocd/applicationset.yaml and behaves as Argo CD does where it is looked at:

- Polls the branch. Each new revision is rendered, compared, applied (automated sync with prune and selfHeal).
- `status.sync.revision` is the revision that was compared; `operationState.syncResult.revision` moves only when
  something was applied.
- A folder that does not render leaves what runs alone: sync Unknown, condition ComparisonError with kustomize's words.
- An object that a webhook refuses: OutOfSync, operationState Failed with the webhook's words.
- A live object that somebody patched is OutOfSync, and is put back after `heal_after` (Argo CD's 5 s).
- Health is our health check's: Available -> Healthy, Failed -> Degraded, else Progressing.
"""

import asyncio
import datetime
import logging
import time
from dataclasses import dataclass, field

from lab import applicationset
from lab.cluster import Cluster, Denied, Key, Object, key_of
from lab.processes import LabError
from lab.render import Checkout, RenderError

STAND_IN = "lab/argocd.py stands in for Argo CD"
HEALTH = {"Available": "Healthy", "Failed": "Degraded"}
log = logging.getLogger("argocd")


def now() -> str:
    """The time as Kubernetes writes it."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Application:
    """One Application: what it wants, what it knows."""

    name: str
    namespace: str
    folder: str
    manifest: Object
    revision: str = ""
    compared: bool = False
    objects: dict[Key, Object] = field(default_factory=dict)
    error: str = ""
    refused: str = ""
    operation: Object = field(default_factory=dict)
    health: tuple[str, str] = ("Missing", "")
    health_since: str = ""
    drifted: float | None = None
    reconciled: str = ""

    def look(self, cluster: Cluster) -> None:
        """Take the health from the live objects' status."""
        found = ("Healthy", "")
        for key in self.objects:
            if key[0] == "SeldonDeployment":
                status = cluster.status.get(key, {})
                found = (HEALTH.get(status.get("state", ""), "Progressing"), status.get("description", ""))
                found = ("Missing", "") if key not in cluster.objects else found
        if not self.objects:
            found = ("Missing", "")
        if found[0] != self.health[0]:
            self.health_since = now()
        self.health = found

    def drift(self, cluster: Cluster) -> list[Key]:
        """Objects whose live form is not the wanted one."""
        return [key for key, wanted in self.objects.items() if cluster.objects.get(key) != wanted]

    def sync_status(self, cluster: Cluster) -> str:
        """Synced, OutOfSync or Unknown."""
        if self.error or not self.compared:
            return "Unknown"
        return "OutOfSync" if self.refused or self.drift(cluster) else "Synced"


@dataclass
class ArgoCD:
    """The syncer."""

    checkout: Checkout
    cluster: Cluster
    environments: frozenset[str] | None = None  # None: all
    every: float = 0.3
    heal_after: float = 5.0
    paused: bool = False
    applications: dict[str, Application] = field(default_factory=dict)
    revision: str = ""
    trouble: str = ""

    async def run(self) -> None:
        """Tick until cancelled."""
        log.info("%s: it polls %s, branch %s", STAND_IN, self.checkout.remote, self.checkout.branch)
        while True:
            if not self.paused:
                try:
                    await self.tick()
                    self.trouble = ""
                except LabError as error:
                    if str(error) != self.trouble:
                        log.warning("%s", error)
                    self.trouble = str(error)
            await asyncio.sleep(self.every)

    async def tick(self) -> None:
        """Fetch if there is something new, then look at every Application."""
        head = await self.checkout.head()
        if head != self.revision:
            await self.checkout.take(head)
            self._generate()
            self.revision = head
            log.info("revision %s: %s", head[:10], ", ".join(self.applications) or "no Application")
            await asyncio.gather(*(self._compare(application) for application in self.applications.values()))
        for application in self.applications.values():
            self._heal(application)
            application.look(self.cluster)

    def _generate(self) -> None:
        """The ApplicationSet's part: folders to Applications; one whose folder went is deleted with its objects."""
        generator = applicationset.read(self.checkout.read("argocd/applicationset.yaml"))
        wanted = {}
        for folder in generator.folders(self.checkout.directories()):
            if self.environments is None or folder.split("/")[1] in self.environments:
                manifest = generator.application(folder)
                wanted[manifest["metadata"]["name"]] = (folder, manifest)
        for name in self.applications.keys() - wanted.keys():
            for key in self.applications.pop(name).objects:
                self.cluster.delete(key)
        for name, (folder, manifest) in wanted.items():
            namespace = manifest["spec"]["destination"]["namespace"]
            known = self.applications.setdefault(name, Application(name, namespace, folder, manifest))
            known.manifest = manifest

    async def _compare(self, application: Application) -> None:
        try:
            rendered = await self.checkout.render(application.folder)
        except RenderError as error:
            application.error = f"Failed to load target state: failed to generate manifest: {error}"
            log.warning("%s: %s", application.name, application.error)
        else:
            application.error = ""
            self._apply(application, {key_of(item, application.namespace): item for item in rendered})
        application.compared, application.reconciled = True, now()
        application.revision = "" if application.error else self.revision
        application.look(self.cluster)

    def _apply(self, application: Application, wanted: dict[Key, Object]) -> None:
        """Sync, if there is anything to do."""
        gone = [key for key in application.objects if key not in wanted]
        application.objects = wanted
        changed = application.drift(self.cluster)
        if not changed and not gone:
            application.refused = ""
            return
        started, refusals = now(), []
        for key in changed:
            try:
                self.cluster.apply(key, wanted[key])
            except Denied as denied:
                refusals.append(f"{key[0]}.{key[2]}: {denied}")
        for key in gone:
            self.cluster.delete(key)
        application.refused = "; ".join(refusals)
        message = f"one or more objects failed to apply, reason: {application.refused}" if refusals else "successfully synced"
        application.drifted = None
        application.operation = {
            "phase": "Failed" if refusals else "Succeeded",
            "message": message,
            "startedAt": started,
            "finishedAt": now(),
            "operation": {"sync": {"revision": self.revision}},
            "syncResult": {"revision": self.revision},
        }
        log.info("%s at %s: %s (%d changed, %d pruned)", application.name, self.revision[:10], message, len(changed), len(gone))

    def _heal(self, application: Application) -> None:
        """Put back what somebody changed."""
        drifted = [] if application.refused or application.error else application.drift(self.cluster)
        if not drifted:
            application.drifted = None
        elif application.drifted is None:
            application.drifted = time.monotonic()
            log.warning("%s: live %s is not what git says", application.name, drifted[0][2])
        elif time.monotonic() - application.drifted >= self.heal_after:
            self._apply(application, application.objects)
