"""One HTTP service: bounded time, bounded retries, and one error that says in a sentence what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec
import urllib3

from rollout.errors import BadInput

T = TypeVar("T")


class Unavailable(Exception):
    """A service that does not answer, or not in its own language; the message says which and how."""


@dataclass(slots=True)
class Service:
    """An HTTP service by base URL.

    token_file: a file with a bearer token, read at every request as tokens are renewed. patience: seconds to wait for an
    answer: a tick must end; the next one asks again.
    """

    name: str
    url: str
    token_file: Path | None = None
    ca_file: Path | None = None
    patience: float = 20.0
    received: int = 0  # bytes, for the benchmark
    asked: int = 0  # requests, for the benchmark
    _pool: urllib3.PoolManager = field(init=False)

    def __post_init__(self) -> None:
        if not _is_url(self.url):
            raise BadInput(f"--{self.name}", "", f"is {self.url!r}; a URL such as http://{self.name}:9090 would be right")
        for name, file in (("token", self.token_file), ("ca", self.ca_file)):
            if file is not None and not file.is_file():
                raise BadInput(f"--{self.name}-{name}-file", "", f"is {str(file)!r}, which is no file")
        self.url = self.url.rstrip("/")
        trust = str(self.ca_file) if self.ca_file else None
        limit = urllib3.Timeout(connect=min(3.0, self.patience), read=self.patience)
        self._pool = urllib3.PoolManager(timeout=limit, retries=urllib3.Retry(1, redirect=0), ca_certs=trust)

    def json(self, method: str, path: str, decoder: msgspec.json.Decoder[T], form: Mapping[str, str] | None = None) -> T:
        """Ask, and decode the answer; raise Unavailable in every other case."""
        body = self._answer(method, path, form)
        try:
            return decoder.decode(body)
        except msgspec.DecodeError as error:
            start = body[:40].decode(errors="replace").strip()
            raise Unavailable(f"{self.name} at {self.url} does not speak its API (it says {start!r}: {error})") from None

    def _answer(self, method: str, path: str, form: Mapping[str, str] | None) -> bytes:
        headers = {"Accept": "application/json"}
        try:
            if self.token_file:
                headers["Authorization"] = f"Bearer {self._token(self.token_file)}"
            if form is None:
                answer = self._pool.request(method, self.url + path, headers=headers)
            else:
                answer = self._pool.request(method, self.url + path, headers=headers, fields=form, encode_multipart=False)
        except urllib3.exceptions.HTTPError as error:
            raise Unavailable(f"{self.name} at {self.url} does not answer: {_plainly(error)}") from None
        except OSError as error:
            raise Unavailable(f"{self.name} at {self.url} cannot be asked: {error}") from None
        self.asked += 1
        self.received += len(answer.data)
        if answer.status != 200:
            said = " ".join(answer.data[:200].decode(errors="replace").split())
            raise Unavailable(f"{self.name} at {self.url} answers {answer.status}: {said}")
        return answer.data

    def _token(self, file: Path) -> str:
        token = file.read_bytes().strip().decode(errors="replace")
        if not (token.isascii() and token.isprintable()):
            ill = f"{file} holds no token; one line of ASCII would be right"
            raise Unavailable(f"{self.name} at {self.url} cannot be asked: {ill}")
        return token


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:  # such as half an IPv6 address
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _plainly(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return str(reason).rpartition(": ")[2] or type(error).__name__
