"""The audit: every decision ever committed, decided again from the commits alone.

For each commit with a record (record.py), oldest first:
1. it changes one release's folder and nothing else;
2. its plan is the one in force;
3. the state before it, that plan, what Argo CD said, and the recorded batches folded again, lead to the same decision, with
   the same sentence to the last digit, in the spelling of today or of before (gate/sentence.py);
4. its tree is what that decision writes.
Commits without a record are people's: they are part of the history, and nothing is asked of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

from rollout import change, gate, record
from rollout.decide import Change, Decision, Observation, decide
from rollout.errors import BadInput
from rollout.gate import Evidence
from rollout.gate.sentence import spelled
from rollout.git import Repo
from rollout.history import Commit, History
from rollout.record import Record
from rollout.release import FILES, Key, parse_key
from rollout.state import Kind, State


@dataclass(frozen=True, slots=True)
class Finding:
    """What the audit says of one decision; problem is empty where it follows."""

    commit: str
    subject: str
    problem: str


@dataclass(slots=True)
class Audit:
    """The fold over the commits."""

    repo: Repo
    history: History
    _gates: dict[tuple[Key, str], gate.State] = field(default_factory=dict)

    def findings(self, tip: str) -> Iterator[Finding]:
        """Yield one finding per recorded decision, oldest first."""
        for commit in self.repo.commits(tip):
            text = self.repo.text(commit.id).partition("\n\n")[2]
            if record.MARK in text:
                yield Finding(commit.id, text.partition("\n")[0], self._judged(commit, text))
            self.history.extend([commit])

    def _judged(self, commit: Commit, text: str) -> str:
        try:
            return self._problem(commit, text, record.read(text))
        except (ValueError, BadInput) as error:
            return str(error)

    def _problem(self, commit: Commit, text: str, found: Record) -> str:
        key = parse_key(found.release)
        foreign = [path for path, _ in commit.changes if not path.startswith(f"{key.folder}/")]
        if foreign:
            return f"touches {foreign[0]}, which is not {key}'s"
        tracked = self.history.releases.get(key)
        state = tracked.state if tracked else None
        if state is None:
            return f"{key} had no state before it"
        seen = self._seen(commit, key, state, found)
        if seen.plan.digest != found.plan:
            return f"says plan {found.plan}, in force was {seen.plan.digest}"
        decision = decide(seen)
        if decision.change is None or str(decision.kind) != found.decision:
            return f"says {found.decision}, its numbers say {decision.kind}: {decision.reason}"
        said = text.split("\n\n")[1]
        if decision.reason not in (said, spelled(said)):
            return f"its sentence is {said!r}, its numbers say {decision.reason!r}"
        return self._tree(commit, key, state, decision)

    def _seen(self, commit: Commit, key: Key, state: State, found: Record) -> Observation:
        return Observation(
            now=commit.time,
            state=state,
            plan=self.history.plan(key),
            app=found.app,
            silence=found.silence,
            reached=found.reached,
            applied=found.applied,
            settle=found.settle,
            evidence=self._evidence(key, state, found),
        )

    def _evidence(self, key: Key, state: State, found: Record) -> Evidence | None:
        if state.kind is not Kind.STEP or state.walk is None or not found.batches:
            return None
        name = (key, state.walk.start.commit)
        known = self._gates.get(name)
        for batch in found.batches:
            gates = self.history.plan_then(key, batch.end).gates
            known = gate.observe(known or gate.begin(gates, found.history), batch, gates)
        assert known is not None
        self._gates[name] = known
        current = found.batches[-1].traffic == state.release.canary
        return gate.judge(known, self.history.plan(key).gates) if current else None

    def _tree(self, commit: Commit, key: Key, state: State, decision: Decision) -> str:
        if decision.change is Change.TAKE_BACK and state.walk is not None:
            same = self.repo.tree(state.walk.before, key.folder) == self.repo.tree(commit.id, key.folder)
            return "" if same else "release/ is not as it was before the start"
        files = self.history.releases[key].files
        wanted = change.apply(decision, state.release, {name: self.repo.text(files[name]) for name in FILES})
        changed = {path.rpartition("/")[2]: self.repo.text(blob) for path, blob in commit.changes if blob}
        return "" if changed == wanted else f"its files are not what {decision.kind} writes"


def run(repo: Repo, *, as_json: bool) -> int:
    """Audit a repository; print one line per decision; return 1 if one does not follow."""
    if repo.shallow():
        raise BadInput("--repo", "", f"{repo.path} is a shallow clone; a full one would be right")
    findings = list(Audit(repo, History(repo.text)).findings(repo.resolve(repo.branch)))
    wrong = [finding for finding in findings if finding.problem]
    if as_json:
        plain = [{**asdict(one), "agrees": not one.problem} for one in findings]
        print(json.dumps({"decisions": plain, "agree": len(findings) - len(wrong), "disagree": len(wrong)}, indent=2))
    else:
        for one in findings:
            print(f"{'DISAGREES' if one.problem else 'agrees   '} {one.commit[:10]} {one.subject}")
            if one.problem:
                print(f"          {one.problem}")
        print(f"{len(findings) - len(wrong)} of {len(findings)} decisions follow from their commits")
    return 1 if wrong else 0
