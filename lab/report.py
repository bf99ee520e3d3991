"""What the demo leaves: report.json for machines, report.html (self-contained) for people."""

from __future__ import annotations

import asyncio
import html
import json
import os
import platform
import time
from typing import TYPE_CHECKING, Any

from lab import readings, tools
from lab.story import Seconds, release_log
from lab.world import BRANCH, STAND_INS

if TYPE_CHECKING:
    from lab.setting import Demo
    from lab.story import Commit

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; width: 100%; font-size: 13px }
td, th { text-align: left; padding: .3rem .6rem; vertical-align: top }
tr { border-top: 1px solid #ddd } code { font-size: 12px } svg { width: 100%; height: auto }
.no { color: #b3261e } .yes { color: #2e7d32 }
"""


async def write(demo: Demo, failure: str) -> None:
    """Write both."""
    from lab import pictures  # noqa: PLC0415  # matplotlib takes two seconds: at the end, not before the demo's first line

    world, apps = demo.world, demo.narrator.apps
    logs = {app: await release_log(world.remote, BRANCH, app, demo.base) if demo.base else [] for app in apps}
    clients = {app: demo.client(app) for app in apps}
    facts = _facts(demo, failure, logs, clients)
    (world.folder / "report.json").write_text(json.dumps(facts, indent=1) + "\n")
    drawings = []
    for app in apps:
        names = list(readings.of_app(app).items())
        found = await asyncio.gather(
            *(readings.series(world.prometheus.url, query, demo.began, time.time()) for _, query in names)
        )
        series = {name: points for (name, _), points in zip(names, found, strict=True)}
        drawings.append(pictures.draw(pictures.Material(app, demo.began, logs[app], series, clients[app])))
    (world.folder / "report.html").write_text(_page(facts, drawings))


def _facts(demo: Demo, failure: str, logs: dict[str, list[Commit]], clients: dict[str, Seconds]) -> dict[str, Any]:
    requests = {app: client.as_json() for app, client in clients.items()}
    return {
        "ok": not failure,
        "failure": failure,
        "story": demo.chapters,
        "lost_while_routes_changed": sum(client.total("lost") for client in clients.values()),
        "requests": {
            "sent": sum(client.total("sent") for client in clients.values()),
            "failed": sum(client.total("failed") for client in clients.values()),
            **requests,
        },
        "seconds": demo.timings,
        "versions": [
            {"app": app, "version": version, "sha256": found.sha256, found.metric: found.value}
            | {"rows": found.rows, "data": found.data, "arguments": found.wanted.arguments, "cached": found.cached}
            for (app, version), found in sorted(demo.trained.items())
        ],
        "measured": demo.seen,
        "releases": {app: [_commit(commit) for commit in commits] for app, commits in logs.items()},
        "pull_requests": demo.starts,
        "audit": demo.audit,
        "delivery": demo.delivery,
        "stand_ins": STAND_INS,
        "tools": tools.versions(),
        "machine": {"system": platform.platform(), "python": platform.python_version(), "cores": os.cpu_count()},
    }


def _commit(commit: Commit) -> dict[str, Any]:
    facts = {
        name: getattr(commit, name) for name in ("sha", "time", "author", "subject", "sentence", "model", "stable", "canary")
    }
    return facts | {"in_rollout": commit.in_rollout, "body": commit.body}


def _page(facts: dict[str, Any], drawings: list[str]) -> str:
    def row(*cells: object, tag: str = "td") -> str:
        return "<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in cells) + "</tr>"

    def text(value: object) -> str:
        return html.escape(str(value))

    verdict = "The story happened" if facts["ok"] else "The story did not happen"
    story = [
        row(
            f'<b class="{"yes" if done else "no"}">{"yes" if done else "no"}</b>',
            text(name.replace("_", " ")),
            f"{facts['seconds'].get(name, '')} s",
        )
        for name, done in facts["story"].items()
    ]
    commits = sorted((commit for log in facts["releases"].values() for commit in log), key=lambda commit: commit["time"])
    told = [
        row(
            time.strftime("%H:%M:%S", time.localtime(commit["time"])),
            f"<code>{commit['sha'][:8]}</code>",
            text(commit["author"]),
            f"<b>{text(commit['subject'])}</b><br>{text(commit['sentence'])}",
        )
        for commit in commits
    ]
    requests = [
        row(app, *(text(counts[name]) for name in ("sent", "ok", "failed", "lost", "served")))
        for app, counts in facts["requests"].items()
        if isinstance(counts, dict)
    ]
    versions = [
        row(
            found["app"],
            found["version"],
            text(" ".join(found["arguments"])),
            f"<code>{found['sha256'][:16]}</code>",
            found["rows"],
            found["data"],
        )
        for found in facts["versions"]
    ]
    stand_ins = "".join(f"<li>{text(what)}: {text(how)}</li>" for what, how in facts["stand_ins"].items())
    heads = {
        "requests": row("app", "sent", "ok", "failed", "lost", "served by", tag="th"),
        "versions": row("app", "version", "trained with", "sha256", "rows", "data", tag="th"),
    }
    parts = [
        f"<h1>{verdict}</h1>",
        f"<p class=no>{text(facts['failure'])}</p>" if facts["failure"] else "",
        f"<table>{''.join(story)}</table>",
        *drawings,
        f"<h2>Commits</h2><table>{''.join(told)}</table>",
        f"<h2>Requests, counted by the clients</h2><p>Lost while routes changed: {facts['lost_while_routes_changed']}.</p>",
        f"<table>{heads['requests']}{''.join(requests)}</table>",
        f"<h2>Versions</h2><table>{heads['versions']}{''.join(versions)}</table>",
        f"<h2>What is not the real thing here</h2><ul>{stand_ins}</ul>",
        f"<p>{text(facts['tools'])}<br>{text(facts['machine'])}</p>",
    ]
    head = f"<meta charset=utf-8><title>{verdict}</title><style>{STYLE}</style>"
    return f"<!doctype html><html lang=en>{head}<body>{''.join(parts)}</body></html>\n"
