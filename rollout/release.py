"""The release files: what one app in one environment runs, and what it is being walked to.

A release is the folder overlays/<env>/<app>/release/ with four files, one writer each:

| file               | writer                   | says                                                             |
|--------------------|--------------------------|------------------------------------------------------------------|
| model.yaml         | people and training      | the version wanted (and a person's switches: attempt, hold)      |
| stable.yaml        | the controller           | the version that serves all but the canary's traffic in rollout  |
| traffic.yaml       | the controller           | integer percent of both predictors, summing to 100               |
| kustomization.yaml | the controller, starters | the toggle: base/at-rest or base/in-rollout, on its last line    |

The controller touches model.yaml only to take an aborted version back. This file turns text into values and values
into the smallest edit of the text; it knows no history (state.py) and no rules of change (decide.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from rollout.document import Fields, edit, head, kind_of, load
from rollout.errors import BadInput

FILES = ("model.yaml", "stable.yaml", "traffic.yaml", "kustomization.yaml")
SCHEMES = ("s3", "gs", "https")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")
_VERSION = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9._]{0,61}[A-Za-z0-9])?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_IMAGE = re.compile(r"[^\s@]+(@sha256:[0-9a-f]{64}|:(?!latest$)[A-Za-z0-9_][-A-Za-z0-9._]*(@sha256:[0-9a-f]{64})?)")


class Toggle(StrEnum):
    """Which Component shapes the release."""

    AT_REST = "at-rest"
    IN_ROLLOUT = "in-rollout"


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """Names a release: an app in an environment; written env/app."""

    env: str
    app: str

    def __str__(self) -> str:
        return f"{self.env}/{self.app}"

    @property
    def folder(self) -> str:
        """The release folder inside the repository."""
        return f"overlays/{self.env}/{self.app}/release"

    @property
    def namespace(self) -> str:
        """The namespace it is deployed to, which is also its Application's name."""
        return f"{self.app}-{self.env}"


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version of a model: what a predictor runs. attempt and hold are a person's switches, not part of it."""

    version: str
    model_uri: str
    sha256: str
    image: str | None = None
    attempt: int = 1
    hold: bool = False

    @property
    def identity(self) -> tuple[str, str, str, str | None]:
        """What decides whether two of them run the same thing."""
        return (self.version, self.model_uri, self.sha256, self.image)

    def runs_like(self, other: ModelVersion) -> bool:
        """Whether both name the same bytes under the same version."""
        return self.identity == other.identity


@dataclass(frozen=True, slots=True)
class Release:
    """The four files of a release folder, as values."""

    key: Key
    model: ModelVersion
    stable: ModelVersion
    canary: int  # percent of traffic for the canary, 0..100; stable has the rest
    toggle: Toggle

    @property
    def stale(self) -> bool:
        """Whether, at rest, the controller's files lag behind model.yaml."""
        return not self.stable.runs_like(self.model) or self.canary != 0


def parse_key(text: str) -> Key:
    """Read ENV/APP; raise BadInput for anything else."""
    env, slash, app = text.partition("/")
    if not (slash and _NAME.fullmatch(env) and _NAME.fullmatch(app)):
        raise BadInput("release", "", f"is {text!r}; ENV/APP such as prod/credit would be right")
    return Key(env, app)


def parse(key: Key, texts: Mapping[str, str]) -> Release:
    """Turn the texts of the four files into a Release.

    texts: file name -> text. Raises BadInput naming the file, the field, the value and what would be right.
    """
    for name in FILES:
        if name not in texts:
            raise BadInput(f"{key.folder}/{name}", "", f"is missing; a release has {', '.join(FILES)}")
    return Release(
        key=key,
        model=parse_version(texts["model.yaml"], key, "model"),
        stable=parse_version(texts["stable.yaml"], key, "stable"),
        canary=parse_traffic(texts["traffic.yaml"], f"{key.folder}/traffic.yaml"),
        toggle=parse_toggle(texts["kustomization.yaml"], f"{key.folder}/kustomization.yaml"),
    )


def parse_version(text: str, key: Key, name: str) -> ModelVersion:
    """Read model.yaml (name "model") or stable.yaml (name "stable")."""
    where = f"{key.folder}/{name}.yaml"
    top = Fields(load(text, where), where)
    head(top, "ModelVersion")
    _named(top, name)
    spec = top.inside("spec")
    top.done()
    version = spec.take("version", version_text)
    found = ModelVersion(
        version=version,
        model_uri=spec.take("modelUri", model_uri_of(key.app, version)),
        sha256=spec.take("sha256", sha256_text),
        image=spec.take("image", image_text, None),
        attempt=spec.take("attempt", _positive, 1) if name == "model" else 1,
        hold=spec.take("hold", _truth, False) if name == "model" else False,
    )
    spec.done()
    return found


def _named(top: Fields, name: str) -> None:
    metadata = top.inside("metadata")
    metadata.take("name", _exactly(name))
    metadata.done()


def parse_traffic(text: str, where: str) -> int:
    """Read traffic.yaml; return the canary's percent."""
    top = Fields(load(text, where), where)
    head(top, "TrafficSplit")
    _named(top, "traffic")
    spec = top.inside("spec")
    top.done()
    stable, canary = spec.take("stable", _percent), spec.take("canary", _percent)
    spec.done()
    if stable + canary != 100:
        raise BadInput(where, "spec", f"stable {stable} + canary {canary} is {stable + canary}; 100 would be right")
    return canary


def parse_toggle(text: str, where: str) -> Toggle:
    """Read the release's kustomization.yaml; return which Component it names."""
    top = Fields(load(text, where), where)
    top.take("apiVersion", _exactly("kustomize.config.k8s.io/v1alpha1"))
    top.take("kind", _exactly("Component"))
    top.take("resources", _list_of(["model.yaml", "stable.yaml", "traffic.yaml"]))
    toggle = top.take("components", _toggle)
    top.done()
    return toggle


def write_version(text: str, version: ModelVersion, *, person: bool) -> str:
    """Return `text` (model.yaml or stable.yaml) with the version's lines set.

    person: whether it is model.yaml as a person's start writes it, with its attempt; stable.yaml has none.
    """
    values = {
        "version": f'"{version.version}"',
        "modelUri": version.model_uri,
        "sha256": version.sha256,
        "image": version.image,
    }
    if person:
        values["attempt"] = str(version.attempt) if version.attempt > 1 else None
    return edit(text, ("spec",), values)


def write_traffic(text: str, canary: int) -> str:
    """Return traffic.yaml with the canary at `canary` percent and stable at the rest: two lines."""
    return edit(text, ("spec",), {"stable": str(100 - canary), "canary": str(canary)})


def write_toggle(text: str, toggle: Toggle) -> str:
    """Return the release's kustomization.yaml with the toggle line set."""
    return re.sub(r"(?m)^([^#\n]*base/)(at-rest|in-rollout)\b", rf"\g<1>{toggle}", text)


def version_text(value: object) -> str:
    """Accept a version; it becomes an annotation, a metric label and a path."""
    if not isinstance(value, str):
        raise ValueError(f'{kind_of(value)}; a quoted version such as "8" would be right')
    if not _VERSION.fullmatch(value):
        raise ValueError("letters, digits, '.', '_' and '-', at most 63, would be right")
    return value


def model_uri_of(app: str, version: str) -> Callable[[object], str]:
    """Return a converter that accepts <scheme>://<store>/<app>/<version> and nothing else."""
    tail = f"/{app}/{version}"

    def convert(value: object) -> str:
        scheme, separator, rest = str(value).partition("://")
        # an image of its own walks as "<version>-r2" on the same bytes
        base = re.sub(r"-r\d+$", "", tail)
        if not (separator and scheme in SCHEMES and "/" in rest and rest.endswith((tail, base))):
            raise ValueError(f"s3://models{tail} would be right ({', '.join(SCHEMES)} are known)")
        return str(value)

    return convert


def sha256_text(value: object) -> str:
    """Accept a SHA-256 in hex."""
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise ValueError("64 lower-case hex digits would be right")
    return value


def image_text(value: object) -> str | None:
    """Accept an image named by digest or version."""
    if not isinstance(value, str) or not _IMAGE.fullmatch(value):
        raise ValueError("an image by digest (name@sha256:...) or version, never latest, would be right")
    return value


def _exactly(word: str) -> Callable[[object], str]:
    def convert(value: object) -> str:
        if value != word:
            raise ValueError(f"{word} would be right")
        return word

    return convert


def _list_of(words: list[str]) -> Callable[[object], list[str]]:
    def convert(value: object) -> list[str]:
        if value != words:
            raise ValueError(f"{words} would be right")
        return words

    return convert


def _toggle(value: object) -> Toggle:
    for toggle in Toggle:
        if value == [f"../../../../base/{toggle}"]:
            return toggle
    raise ValueError("one line, ../../../../base/at-rest or ../../../../base/in-rollout, would be right")


def _percent(value: object) -> int:
    if type(value) is not int or not 0 <= value <= 100:
        raise ValueError("a whole number from 0 to 100 would be right")
    return value


def _positive(value: object) -> int:
    if type(value) is not int or value < 1:
        raise ValueError("a whole number from 1 would be right")
    return value


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false would be right")
    return value
