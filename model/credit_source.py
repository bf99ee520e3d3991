"""Where the credit data come from: a file, the public source with its checksum, or the generator, said loudly.

The checksum belongs to the data set's well-known CSV form, `UCI_Credit_Card.csv`. The public source serves the same
values as another CSV: other column names, numbers written out. So the download is rewritten in the well-known form
(quoted names; 100000 as 1e+05, as R wrote it) and *that* must have the checksum: every value is verified, not the
bytes of the transport. What does not is thrown away. What does is kept in `.cache/` and verified again at each use.
"""

import contextlib
import csv
import hashlib
import http.client
import io
import math
import os
import queue
import re
import sys
import threading
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from model import credit_generated
from model.table import BadInput, Column, Value, check

URL = "https://archive.ics.uci.edu/static/public/350/data.csv"
SHA256 = "a0f0ab49d6326671d6cd83be5c88dcf18007025fe9a53ecd699119c871176ca1"
CACHE = Path(".cache/UCI_Credit_Card.csv")
CONNECT_SECONDS = 3.0
DOWNLOAD_SECONDS = 60.0
ROUND_NUMBER = re.compile(r"\b([1-9])(0{5,})\b")  # what R writes shorter with an exponent

WARNING = """\
{line}
!! NOT THE REAL DATA: {reason}
!! Going on with generated rows of the same schema. For the real ones set CREDIT_DATA to the path of
!! UCI_Credit_Card.csv; CREDIT_DATA=generated asks for generated rows without this warning.
{line}"""

Loaded: TypeAlias = tuple[dict[str, list[Value]], str]
Raw: TypeAlias = tuple[dict[str, list[Value]], str, str]


def download(url: str = URL, patience: float = CONNECT_SECONDS) -> bytes:
    """The bytes at `url`; OSError if nothing answers within `patience` seconds.

    In a thread of its own, for no timeout of urllib bounds the look-up of a name.
    """
    answer: queue.Queue[bytes | OSError] = queue.Queue()
    connected = threading.Event()
    threading.Thread(target=_get, args=(url, patience, answer, connected), daemon=True).start()
    connected.wait(patience)
    try:
        content = answer.get(timeout=DOWNLOAD_SECONDS if connected.is_set() else 0.1)
    except queue.Empty as error:
        raise OSError(f"{url}: no answer in {patience:g} s") from error
    if isinstance(content, OSError):
        raise content
    return content


def _get(url: str, patience: float, answer: "queue.Queue[bytes | OSError]", connected: threading.Event) -> None:
    try:
        with urllib.request.urlopen(url, timeout=patience) as response:
            connected.set()
            answer.put(response.read())
    except (OSError, http.client.HTTPException) as error:
        answer.put(OSError(f"{url}: {getattr(error, 'reason', error)}"))
        connected.set()


def load(setting: str | None, columns: Sequence[Column], cache: Path = CACHE, fetch: Callable[[], bytes] = download) -> Loaded:
    """The table, checked, and its origin: from the file that `setting` names, "generated", or (None) the public source."""
    (table, where, origin), note = _read(setting, columns, cache, fetch)
    if origin == "real":
        check(table, columns, where)
    _tell(note)
    return {c.name: table[c.name] for c in columns}, origin


def read(setting: str | None, columns: Sequence[Column]) -> Raw:
    """The table as it is, where it is from, for people, and its origin."""
    raw, note = _read(setting, columns, CACHE, download)
    _tell(note)
    return raw


def _tell(note: str) -> None:
    if note:
        print(note, file=sys.stderr)


def _read(setting: str | None, columns: Sequence[Column], cache: Path, fetch: Callable[[], bytes]) -> tuple[Raw, str]:
    if setting == "generated":
        return (credit_generated.table(), "the generator", "generated"), ""
    if setting:
        table, note = _given(Path(setting))
        return (table, setting, "real"), note
    try:
        content = _published(cache, columns, fetch)
    except (OSError, ValueError, BadInput) as error:
        return (credit_generated.table(), "the generator", "generated"), WARNING.format(line="!" * 100, reason=error)
    return (_table(content, str(cache)), str(cache), "real"), ""


def _given(path: Path) -> tuple[dict[str, list[Value]], str]:
    """A file of the user's: taken as it is, with a note if it is not the published one."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); CREDIT_DATA must name a CSV file") from error
    other = f"note: {path} is not the published file, whose sha256 is {SHA256}; taken as it is"
    return _table(content, str(path)), "" if _sha256(content) == SHA256 else other


def _published(cache: Path, columns: Sequence[Column], fetch: Callable[[], bytes]) -> bytes:
    """The published file, from the cache or the source; verified either way."""
    if cache.is_file() and _sha256(content := cache.read_bytes()) == SHA256:
        return content
    content = well_known_form(fetch(), columns)
    if _sha256(content) != SHA256:
        raise BadInput(f"{URL}: sha256 of its rows is {_sha256(content)}; must be {SHA256}")
    with contextlib.suppress(OSError):  # a read-only disk costs a download each time, nothing else
        cache.parent.mkdir(parents=True, exist_ok=True)
        partial = cache.with_suffix(f".{os.getpid()}")
        partial.write_bytes(content)
        partial.replace(cache)
    return content


def well_known_form(served: bytes, columns: Sequence[Column]) -> bytes:
    """What the public source serves (ID, X1..X23, Y), rewritten as `UCI_Credit_Card.csv`."""
    table = _table(served, URL)
    rows = "".join(f"{','.join(map(str, row))}\n" for row in zip(*table.values(), strict=True))
    header = ",".join(f'"{name}"' for name in ("ID", *(c.name for c in columns)))
    return f"{header}\n{ROUND_NUMBER.sub(_exponent, rows)}".encode()


def _table(content: bytes, where: str) -> dict[str, list[Value]]:
    """All columns of a CSV file, as text where that is not a number; 1e+05 is the whole number 100000."""
    try:
        lines = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{where}: is not a text of comma-separated values ({error})") from error
    if not lines:
        raise BadInput(f"{where}: is empty; must be a CSV file with a header and the columns of the data set")
    header, *rows = lines
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise BadInput(f"{where}: line {number} has {len(row)} fields; must be {len(header)}, as in the header")
    return {name: [_number(row[place]) for row in rows] for place, name in enumerate(header)}


def _number(text: str) -> Value:
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if number.is_integer() else number if math.isfinite(number) else text  # "nan" is a text, not a number


def _exponent(number: re.Match[str]) -> str:
    return f"{number[1]}e+{len(number[2]):02d}"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
