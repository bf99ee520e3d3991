"""The forge at the edge: a branch pushed, one pull request for it, one comment under it; made once, brought up to date after.

| the forge answers            | then                                                                     |
|------------------------------|--------------------------------------------------------------------------|
| 200, an open request there   | its title and text are replaced                                          |
| 200, our comment there       | its text is replaced: ours has the marker and is by us                   |
| 200, none                    | one is opened                                                            |
| 422 to that: it exists       | somebody was quicker: it is looked up again, and replaced                |
| 401, 403, anything else      | refused in one sentence; the branch stays, and a second run finishes     |
| 403 or 429, a rate limit     | refused with when to come back                                           |

GITHUB_API_URL, GITHUB_SERVER_URL, GITHUB_REPOSITORY and GH_TOKEN say where and as whom, as in a workflow.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

import urllib3

from model.table import BadInput
from rollout.git import GitError, Repo

_SECONDS = 20.0
_PAGE = 100


@dataclass(frozen=True)
class Forge:
    """One repository on a forge."""

    api: str
    server: str
    repository: str
    token: str

    @classmethod
    def of(cls, env: Mapping[str, str]) -> "Forge":
        """Read where and as whom from the environment; raise BadInput for what is missing."""
        missing = [name for name in ("GITHUB_REPOSITORY", "GH_TOKEN") if not env.get(name)]
        if missing:
            raise BadInput(f"environment: {missing[0]} is not set; a workflow sets it, a person exports it")
        api, server = env.get("GITHUB_API_URL", "https://api.github.com"), env.get("GITHUB_SERVER_URL", "https://github.com")
        return cls(api, server, env["GITHUB_REPOSITORY"], env["GH_TOKEN"])

    def push(self, repo: Repo, branch: str) -> None:
        """Push a branch of ours; it is made anew whenever the base moves, so it may be replaced."""
        secret = base64.b64encode(f"x-access-token:{self.token}".encode()).decode()
        told = {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "http.extraHeader",
            "GIT_CONFIG_VALUE_0": f"Authorization: Basic {secret}",
        }
        own = Repo(repo.path, repo.branch, told)  # by the environment: the words of a process can be read by others
        try:
            own.run("push", "--quiet", "--force", f"{self.server}/{self.repository}", f"{branch}:refs/heads/{branch}")
        except GitError as error:
            raise BadInput(f"forge: {branch} is not pushed: {error}; run again when it answers") from error

    def request(self, branch: str, base: str, title: str, text: str) -> str:
        """Open the pull request of a branch, or replace its title and text; return its address."""
        said = {"title": title, "body": text}
        there = self._there(branch)
        if there is None:
            status, made = self._ask("POST", "/pulls", {**said, "head": branch, "base": base}, also=422)
            if status != 422:
                return str(made["html_url"])
            there = self._there(branch)
            if there is None:
                raise BadInput(f"forge: {self.repository}: refuses the pull request: {_why(made)}")
        return str(self._ask("PATCH", f"/pulls/{there}", said)[1]["html_url"])

    def comment(self, number: int, marker: str, text: str, author: str) -> str:
        """Comment under a pull request, or replace what `author` said there under the same marker; return the address."""
        said = {"body": f"{_marked(marker)}\n{text}"}
        mine = self._mine(number, marker, author)
        if mine is None:
            return str(self._ask("POST", f"/issues/{number}/comments", said)[1]["html_url"])
        return str(self._ask("PATCH", f"/issues/comments/{mine}", said)[1]["html_url"])

    def _mine(self, number: int, marker: str, author: str) -> int | None:
        """Our comment: anybody may write the marker, so whose it is counts too."""
        for page in count(1):
            _, found = self._ask("GET", f"/issues/{number}/comments?per_page={_PAGE}&page={page}")
            for one in found:
                if one["user"]["login"] == author and one["body"].startswith(_marked(marker)):
                    return int(one["id"])
            if len(found) < _PAGE:
                break
        return None

    def _there(self, branch: str) -> int | None:
        owner = self.repository.partition("/")[0]
        _, found = self._ask("GET", f"/pulls?state=open&head={owner}:{branch}")
        return int(found[0]["number"]) if found else None

    def _ask(self, method: str, path: str, content: object = None, also: int = 0) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.token}", "Accept": "application/vnd.github+json", "User-Agent": "rollout"}
        url = f"{self.api}/repos/{self.repository}{path}"
        body = None if content is None else json.dumps(content)
        try:
            answer = urllib3.request(method, url, body=body, headers=headers, timeout=_SECONDS, retries=False)
        except urllib3.exceptions.HTTPError as error:
            raise BadInput(f"forge: {self.api} does not answer ({type(error).__name__}); run again when it does") from error
        if answer.status == also or 200 <= answer.status < 300:
            return answer.status, json.loads(answer.data)
        raise BadInput(f"forge: {self.repository}: {_refusal(answer)}")


def _marked(marker: str) -> str:
    return f"<!-- rollout: {marker} -->"


def _refusal(answer: Any) -> str:
    if answer.status == 429 or answer.headers.get("x-ratelimit-remaining") == "0":
        return f"rate limit; come back after {answer.headers.get('retry-after') or answer.headers.get('x-ratelimit-reset')}"
    hints = {401: "a token that is valid would be right", 403: "a token that may write pull requests would be right"}
    try:
        why = _why(json.loads(answer.data))
    except ValueError:
        why = "no JSON"
    return f"answers {answer.status} ({why}); {hints.get(answer.status, 'run again when it does better')}"


def _why(answer: Any) -> str:
    return str(answer.get("message", "")) if isinstance(answer, dict) else ""
