"""Read argocd/applicationset.yaml: which folders are Applications, and what each is called.

Only what this repository's ApplicationSets use is understood: one git generator with directories, and templates that name
the folder's path or its segments, or compare a segment. Anything else is an error, not a guess.
"""

import fnmatch
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import yaml

from lab.processes import LabError

_CHOICE = re.compile(r"\{\{if eq \((.*?)\) \"(.*?)\"\}\}(.*?)\{\{else\}\}(.*?)\{\{end\}\}")
_EXPRESSION = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}")


@dataclass(frozen=True)
class ApplicationSet:
    """Folder globs and the Application's template."""

    include: tuple[str, ...]
    exclude: tuple[str, ...]
    template: dict[str, Any]

    def takes(self, folder: str) -> bool:
        """Whether the folder becomes an Application of this set."""
        return any(_matches(folder, glob) for glob in self.include) and not any(_matches(folder, glob) for glob in self.exclude)


@dataclass(frozen=True)
class ApplicationSets:
    """All sets of the file; a folder belongs to one."""

    sets: tuple[ApplicationSet, ...]

    def folders(self, directories: list[str]) -> list[str]:
        """The folders that become Applications."""
        return [folder for folder in directories if any(one.takes(folder) for one in self.sets)]

    def application(self, folder: str) -> dict[str, Any]:
        """The Application of one folder."""
        (own,) = (one for one in self.sets if one.takes(folder))
        expanded: dict[str, Any] = expand(own.template, folder)
        return expanded


def read(text: str) -> ApplicationSets:
    """Parse the manifest."""
    manifests = [item for item in yaml.safe_load_all(text) if item and item.get("kind") == "ApplicationSet"]
    return ApplicationSets(tuple(_read(item["spec"]) for item in manifests))


def _read(spec: dict[str, Any]) -> ApplicationSet:
    generators = spec["generators"]
    if len(generators) != 1 or "git" not in generators[0]:
        raise LabError(f"argocd/applicationset.yaml: one git generator is understood, found {generators}")
    directories = generators[0]["git"].get("directories") or []
    return ApplicationSet(
        include=tuple(entry["path"] for entry in directories if not entry.get("exclude")),
        exclude=tuple(entry["path"] for entry in directories if entry.get("exclude")),
        template=spec["template"],
    )


def _matches(folder: str, glob: str) -> bool:
    parts, globs = folder.split("/"), glob.split("/")
    return len(parts) == len(globs) and all(map(fnmatch.fnmatchcase, parts, globs))


def expand(value: Any, folder: str) -> Any:
    """Fill the template's expressions, at any depth."""
    if isinstance(value, dict):
        return {name: expand(item, folder) for name, item in value.items()}
    if isinstance(value, list):
        return [expand(item, folder) for item in value]
    if isinstance(value, str):
        value = _CHOICE.sub(lambda found: found[3] if _evaluate(found[1], folder) == found[2] else found[4], value)
        return _EXPRESSION.sub(lambda found: _evaluate(found[1], folder), value)
    return value


def _evaluate(expression: str, folder: str) -> str:
    segments = PurePosixPath(folder).parts
    if expression in (".path.path", "path"):
        return folder
    if expression in (".path.basename", "path.basename", ".path.basenameNormalized", "path.basenameNormalized"):
        return segments[-1]
    if found := re.fullmatch(r"index \.path\.segments (\d+)|path\[(\d+)\]", expression):
        return segments[int(found[1] or found[2])]
    raise LabError(f"argocd/applicationset.yaml: {{{{{expression}}}}} is not understood")
