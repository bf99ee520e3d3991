"""What is read from Prometheus for progress lines and pictures: the models' counters and the controller's own metrics."""

from typing import Any

import aiohttp

COUNT = "seldon_api_executor_server_requests_seconds_count"
Series = list[tuple[float, float]]


def of_app(app: str, env: str = "prod") -> dict[str, str]:
    """The queries of one release, by what they mean."""
    models = f'namespace="{app}-{env}",deployment_name="{app}",service="predictions"'
    own = f'env="{env}",app="{app}"'

    def rate(more: str) -> str:
        return f"sum(rate({COUNT}{{{models}{more}}}[5s]))"

    def errors(predictor: str) -> str:
        arm = f',predictor_name="{predictor}"'
        wrong = rate(arm + ',code=~"5.."')
        return f"({wrong} or vector(0)) / ({rate(arm)} > 0)"

    canary = rate(',predictor_name="canary"')

    return {
        "canary_share": f"100 * ({canary} or vector(0)) / {rate('')}",
        "errors_stable": errors("stable"),
        "errors_canary": errors("canary"),
        "harm": f"max(rollout_harm_e_value{{{own}}})",
        "harm_threshold": f"max(rollout_harm_threshold{{{own}}})",
        "safe": f"max(rollout_safe_e_value{{{own}}})",
        "safe_threshold": f"max(rollout_safe_threshold{{{own}}})",
        "committed": f"max(rollout_canary_traffic{{{own}}})",
    }


async def _ask(url: str, path: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session,
            session.get(f"{url}/api/v1/{path}", params=parameters) as answer,
        ):
            said = await answer.json()
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
        return []
    found: list[dict[str, Any]] = said.get("data", {}).get("result", [])
    return found


async def value(url: str, query: str) -> float | None:
    """A query's value now; None when there is none."""
    found = await _ask(url, "query", {"query": query})
    return float(found[0]["value"][1]) if found else None


async def series(url: str, query: str, start: float, end: float) -> Series:
    """A query's values, one per second."""
    found = await _ask(url, "query_range", {"query": query, "start": start, "end": end, "step": "1"})
    return [(float(t), float(v)) for t, v in found[0]["values"]] if found else []
