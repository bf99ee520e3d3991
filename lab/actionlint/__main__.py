"""Build actionlint."""

from lab import actionlint

print(actionlint.build())
