"""The benchmark measures what it says; how fast is not a test's business."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from bench.footprint import Footprint
from bench.table import table
from bench.ticks import Size

ROOT = Path(__file__).resolve().parents[2]
SIZES, TICKS = (20, 60), 3

pytestmark = pytest.mark.scenario


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where one small run left its figures, and `printed` what it said."""
    folder = tmp_path_factory.mktemp("bench")
    few = ["--ticks", str(TICKS), "--restarts", "1", "--runs", "2", "--out", str(folder)]
    words = [sys.executable, "-m", "bench", "--json", "--sizes", *map(str, SIZES), *few]
    done = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    (folder / "printed").write_text(done.stdout)
    return folder


def test_tick_json_has_one_entry_per_size_with_exactly_these_keys(out: Path) -> None:
    told = json.loads((out / "tick.json").read_text())
    keys = {"releases", "in_flight", "p50_s", "p95_s", "rss_mib", "queries", "bytes"}
    assert [set(one) for one in told] == [keys, keys]
    assert [(one["releases"], one["in_flight"]) for one in told] == [(size, size // 10) for size in SIZES]
    assert all(0 < one["p50_s"] <= one["p95_s"] and one["rss_mib"] > 0 for one in told)


def test_json_prints_the_file(out: Path) -> None:
    assert json.loads((out / "printed").read_text()) == everything(out)


def test_a_restarted_controller_decides_the_same_on_the_same_evidence(out: Path) -> None:
    for size in everything(out)["sizes"]:
        assert size["restart_digests"] == [size["digest"]]
    small, large = (size["digest"] for size in everything(out)["sizes"])
    assert small != large


def test_the_number_of_queries_is_the_same_for_every_size(out: Path) -> None:
    small, large = everything(out)["sizes"]
    assert small["queries"] == large["queries"] == 1
    assert small["restart_queries"] == large["restart_queries"] > 1
    assert small["bytes"] < large["bytes"]


def test_every_target_stands_in_the_table(out: Path) -> None:
    table = (out / "table.md").read_text()
    assert table.count(": met") + table.count(": MISSED") == len(everything(out)["targets"]) == 8
    rows = [line.count("|") for line in table.splitlines() if line.startswith("| ")]
    assert set(rows[: rows.index(4)]) == {6}
    assert re.search(r"\| steady tick, p95 +\| +[0-9.]+ s \| +x +[0-9.]+ \| +[0-9.]+ s \| 5 s: ", table)


def sizes(releases: int, p50: float, megabytes: float) -> tuple[Size, Size]:
    """One release, and a fleet that costs so many times as much."""
    one = dict.fromkeys((each.name for each in fields(Size)), 1.0)
    one |= {"releases": 1, "bytes": 1e6, "digest": "", "restart_digests": [""]}
    return Size(**one), Size(**{**one, "releases": releases, "p50_s": p50, "bytes": megabytes * 1e6})


def test_what_grows_a_hundredfold_and_more_is_a_whole_number_in_the_table() -> None:
    rows = table(sizes(12345, 99.6, 1234.5), Footprint(0.1, 1.0, 1, 1.0)).splitlines()
    found = {row.split("|")[1].strip(): re.sub(" +", " ", row).split(" | ")[1:4] for row in rows if row.startswith("| ")}
    assert found["releases"] == ["1", "x 12 345", "12 345"]
    assert found["steady tick, p50"] == ["1 s", "x 100", "99.6 s"]
    assert found["Prometheus: read a tick"] == ["1 MB", "x 1 234", "1 234 MB"]
    assert found["peak memory"] == ["1 MiB", "x 1", "1 MiB"]


def everything(out: Path) -> dict[str, Any]:
    """What bench.json holds."""
    told: dict[str, Any] = json.loads((out / "bench.json").read_text())
    return told
