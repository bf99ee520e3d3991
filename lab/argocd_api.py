"""The stand-in's HTTP side: Applications in the Kubernetes API's form, read-only, with paging; every answer says what it is."""

import base64
from typing import Any

from aiohttp import web

from lab.argocd import STAND_IN, Application, ArgoCD
from lab.processes import free_port, listening

ALL = "/apis/argoproj.io/v1alpha1/applications"
NAMESPACED = "/apis/argoproj.io/v1alpha1/namespaces/{namespace}/applications"


class Api:
    """Serves the Applications; can be taken down, and can refuse."""

    def __init__(self, argocd: ArgoCD) -> None:
        self.argocd = argocd
        self.port = free_port()
        self.forbidden = False
        self.runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """What the controller's --argocd gets."""
        return f"http://127.0.0.1:{self.port}"

    async def up(self) -> None:
        """Listen."""
        if self.runner is None:
            app = web.Application()
            for path in (ALL, NAMESPACED):
                app.router.add_get(path, self._list)
                app.router.add_get(path + "/{name}", self._get)
            self.runner = await listening(app, self.port)

    async def down(self) -> None:
        """Refuse connections."""
        if self.runner is not None:
            await self.runner.cleanup()
            self.runner = None

    async def _list(self, request: web.Request) -> web.Response:
        if self.forbidden:
            return _status(403, "Forbidden", 'applications.argoproj.io is forbidden: User "lab" cannot list resource')
        names = sorted(self.argocd.applications)
        if request.match_info.get("namespace", "argocd") != "argocd":
            names = []
        if token := request.query.get("continue"):
            after = base64.urlsafe_b64decode(token).decode()
            names = [name for name in names if name > after]
        limit = int(request.query.get("limit") or 0) or len(names)
        page, rest = names[:limit], names[limit:]
        metadata: dict[str, Any] = {"resourceVersion": "1"}
        if rest:
            token = base64.urlsafe_b64encode(page[-1].encode()).decode()
            metadata |= {"continue": token, "remainingItemCount": len(rest)}
        items = [self.item(self.argocd.applications[name]) for name in page]
        return _json({"apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationList", "metadata": metadata, "items": items})

    async def _get(self, request: web.Request) -> web.Response:
        if self.forbidden:
            return _status(403, "Forbidden", 'applications.argoproj.io is forbidden: User "lab" cannot get resource')
        found = self.argocd.applications.get(request.match_info["name"])
        if found is None:
            return _status(404, "NotFound", f"applications.argoproj.io {request.match_info['name']!r} not found")
        return _json(self.item(found))

    def item(self, application: Application) -> dict[str, Any]:
        """One Application."""
        checkout = self.argocd.checkout
        spec = dict(application.manifest["spec"])
        spec["source"] = {**spec.get("source", {}), "repoURL": checkout.remote, "targetRevision": checkout.branch}
        spec["source"]["path"] = application.folder
        metadata = {**application.manifest["metadata"], "name": application.name, "namespace": "argocd"}
        metadata["annotations"] = {**(metadata.get("annotations") or {}), "lab.rollout/stand-in": STAND_IN}
        health, message = application.health
        status: dict[str, Any] = {
            "sync": {
                "status": application.sync_status(self.argocd.cluster),
                "revision": application.revision,
                "comparedTo": {"source": spec["source"], "destination": spec["destination"]},
            },
            "health": {"status": health, "message": message, "lastTransitionTime": application.health_since},
            "reconciledAt": application.reconciled,
            "conditions": [],
        }
        if application.error:
            condition = {"type": "ComparisonError", "message": application.error}
            status["conditions"].append({**condition, "lastTransitionTime": application.reconciled})
        if application.operation:
            status["operationState"] = application.operation
        return {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "metadata": metadata,
            "spec": spec,
            "status": status,
        }


def _json(body: dict[str, Any], status: int = 200) -> web.Response:
    return web.json_response(body, status=status, headers={"X-Stand-In": STAND_IN})


def _status(code: int, reason: str, message: str) -> web.Response:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message}
    return _json(body, status=code)
