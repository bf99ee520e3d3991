"""`rollout alarm BASE..HEAD`: what the controller's commits touched that is not theirs to touch.

| a commit of the span                                             | is                                       |
|------------------------------------------------------------------|------------------------------------------|
| changes overlays/<env>/<app>/release/<one of the four files>     | the controller's work                    |
| makes one of these anything but a plain file, or removes it      | outside: a link leads elsewhere          |
| changes anything else                                            | outside                                  |
| HEAD does not go on from BASE                                    | outside: history was replaced by force   |

For forges whose plan has no push rulesets: a workflow runs it after every push of the controller's user.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from rollout.git import Repo
from rollout.release import FILES

_OWN = re.compile(rf"overlays/[^/]+/[^/]+/release/({'|'.join(map(re.escape, FILES))})")
_PLAIN = "100644"


def outside(repo: Repo, scope: str) -> Iterator[str]:
    """Yield in words everything outside the releases that the commits of BASE..HEAD touch."""
    ends = repo.ends(scope)
    if not repo.is_ancestor(*ends):
        yield f"{ends[1][:10]} does not go on from {ends[0][:10]}: history was replaced by force"
    for commit in repo.chain(ends[1], ends[0]):
        raw = repo.run("diff-tree", "-r", "-z", "--no-renames", "--no-commit-id", f"{commit}^", commit).split("\0")
        for facts, path in zip(raw[::2], raw[1::2], strict=False):
            mode, status = facts.split()[1], facts.split()[4]
            if not _OWN.fullmatch(path):
                yield f"{commit[:10]} changes {path}"
            elif status == "D" or mode != _PLAIN:
                yield f"{commit[:10]} {'removes' if status == 'D' else f'makes mode {mode} of'} {path}"


def run(repo: Repo, scope: str, *, as_json: bool) -> int:
    """Print what is outside; return 1 when there is something."""
    found = list(outside(repo, scope))
    if as_json:
        print(json.dumps({"range": scope, "outside": found}, indent=2))
    else:
        print("\n".join(found) or f"{scope}: nothing outside overlays/*/*/release/")
    return 1 if found else 0
