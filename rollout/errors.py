"""Errors that a person can act on: each names the file, the field, the value, and what would be right."""

from __future__ import annotations


class BadInput(Exception):
    """Input that cannot be used; the command line prints it and exits with 2.

    where: a file's path inside the repository, or the name of a setting or service.
    field: the dotted path of the field, empty where the whole file is meant.
    problem: the value found and what would be right.
    """

    def __init__(self, where: str, field: str, problem: str) -> None:
        self.where, self.field, self.problem = where, field, problem
        super().__init__(": ".join(part for part in (where, field, problem) if part))


class Refused(Exception):
    """A sound request that the rules refuse, such as starting a vetoed version; exit code 2 as well."""
