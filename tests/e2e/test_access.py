"""The controller's ServiceAccount, tried on the real API server: every verb on everything that discovery lists."""

import asyncio

from lab.controlplane.api import Api, ApiError
from lab.controlplane.kubernetes import private

NAMESPACES = ("argocd", "rollout", "credit-prod")
EVERYBODYS = {  # what the API server lets every token do: ask about itself
    ("create", "authentication.k8s.io/selfsubjectreviews", ""),
    ("create", "authorization.k8s.io/selfsubjectaccessreviews", ""),
    ("create", "authorization.k8s.io/selfsubjectrulesreviews", ""),
}
ITS_OWN = {("get", "argoproj.io/applications", "argocd"), ("list", "argoproj.io/applications", "argocd")}
REQUESTS = {  # verb: method, whether it names an object, query
    "get": ("GET", True, ""),
    "list": ("GET", False, ""),
    "watch": ("GET", False, "?watch=true&timeoutSeconds=1"),
    "create": ("POST", False, "?dryRun=All"),
    "update": ("PUT", True, "?dryRun=All"),
    "patch": ("PATCH", True, "?dryRun=All"),
    "delete": ("DELETE", True, "?dryRun=All"),
    "deletecollection": ("DELETE", False, "?dryRun=All"),
}


async def listed(api):
    """(group/plural, path of the API, resource) of everything that discovery lists."""
    groups = (await api.ask("GET", "/apis"))["groups"]
    versions = [("", "/api/v1")] + [(g["name"], f"/apis/{v['groupVersion']}") for g in groups for v in g["versions"]]
    found = []
    for group, path in versions:
        for resource in (await api.ask("GET", path))["resources"]:
            found.append((f"{group}/{resource['name']}".lstrip("/"), path, resource))
    return found


def attempts(path, resource):
    """(verb, namespace, method, path) of every request that a resource takes."""
    plural, _, sub = resource["name"].partition("/")
    for verb in resource["verbs"]:
        method, named, query = REQUESTS[verb]
        for namespace in NAMESPACES if resource["namespaced"] else ("",):
            place = f"{path}/namespaces/{namespace}/{plural}" if namespace else f"{path}/{plural}"
            place += "/x" if named or sub else ""
            yield verb, namespace, method, place + (f"/{sub}" if sub else "") + query
        if resource["namespaced"] and verb in ("list", "watch"):
            yield verb, "all", method, f"{path}/{plural}{query}"


async def test_the_controllers_token_may_read_applications_in_argocd_and_nothing_else(stage):
    world = stage.world
    account = await world.admin.token_of("rollout", "rollout-controller")
    token = private(world.work / "tokens" / "controller", account)
    allowed, asked, few = set(), 0, asyncio.Semaphore(2)
    async with Api(world.kubernetes.url, world.kubernetes.ca, token) as own:

        async def attempt(name, verb, namespace, method, path):
            body = {} if method in ("POST", "PUT", "PATCH") else None
            kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
            async with few:
                try:
                    await own.ask(method, path, body, kind)
                except ApiError as error:
                    if error.status == 403:
                        return
                allowed.add((verb, name, namespace))

        tries = [(name, *one) for name, path, resource in await listed(world.admin) for one in attempts(path, resource)]
        asked = len(tries)
        await asyncio.gather(*(attempt(*one) for one in tries))
    assert asked > 1000
    assert allowed == EVERYBODYS | ITS_OWN
