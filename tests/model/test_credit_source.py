import csv
import http.server
import socket
import threading
import time

import pytest

from model import credit_source
from model.credit import COLUMNS, TARGET

ALL = (*COLUMNS, TARGET)
NAMES = ("ID", *(c.name for c in ALL))
ROW = [1, 100000, 2, 2, 1, 24, 2, 2, -1, -1, -2, -2, 3913, 3102, 689, 0, 0, 0, 0, 689, 0, 0, 1200000, 1000000, 1]
SERVED = "ID,{},Y\n{}\n".format(",".join(f"X{i}" for i in range(1, 24)), ",".join(map(str, ROW))).encode()


def offline() -> bytes:
    raise OSError("no network")


def test_without_network_the_generator_steps_in_and_says_so_loudly(tmp_path, capsys):
    table, origin = credit_source.load(None, ALL, tmp_path / "cache.csv", offline)
    assert (len(table["PAY_0"]), origin) == (30_000, "generated")
    said = capsys.readouterr().err
    assert said.splitlines()[:2] == ["!" * 100, "!! NOT THE REAL DATA: no network"]


def test_rows_with_another_checksum_are_refused_and_not_kept(tmp_path, capsys):
    cache = tmp_path / "deep" / "cache.csv"
    assert credit_source.load(None, ALL, cache, lambda: SERVED)[1] == "generated"
    found = credit_source._sha256(credit_source.well_known_form(SERVED, ALL))
    reason = f"{credit_source.URL}: sha256 of its rows is {found}; must be {credit_source.SHA256}"
    assert f"!! NOT THE REAL DATA: {reason}\n" in capsys.readouterr().err
    assert not cache.exists()


@pytest.mark.parametrize("answer", [b"<html>Sign in to the hotel</html>", b"", b"\xff\xfe\x00", b"a,b\n1\n"])
def test_an_answer_that_is_something_else_altogether_is_no_reason_to_stop(answer, tmp_path, capsys):
    assert credit_source.load(None, ALL, tmp_path / "cache.csv", lambda: answer)[1] == "generated"
    assert "!! NOT THE REAL DATA: " in capsys.readouterr().err


def test_generated_rows_that_were_asked_for_need_no_warning(tmp_path, capsys):
    assert credit_source.load("generated", ALL, tmp_path / "cache.csv", offline)[1] == "generated"
    assert capsys.readouterr().err == ""


def test_the_download_is_rewritten_in_the_well_known_form():
    header, row = credit_source.well_known_form(SERVED, ALL).decode().splitlines()
    assert header == ",".join(f'"{name}"' for name in NAMES)
    assert row == "1,1e+05,2,2,1,24,2,2,-1,-1,-2,-2,3913,3102,689,0,0,0,0,689,0,0,1200000,1e+06,1"


def test_the_real_rows_are_verified_kept_and_read_from_the_cache(real_path, tmp_path, capsys):
    lines = [",".join(str(int(float(cell))) for cell in row) for row in list(csv.reader(real_path.open()))[1:]]
    served = (SERVED.decode().splitlines()[0] + "\n" + "\n".join(lines) + "\n").encode()
    cache = tmp_path / "deep" / "cache.csv"
    first = credit_source.load(None, ALL, cache, lambda: served)
    assert cache.read_bytes() == real_path.read_bytes()
    assert credit_source.load(None, ALL, cache, offline) == first == credit_source.load(str(real_path), ALL)
    assert first[1] == "real"
    cache.write_bytes(cache.read_bytes()[:-1])
    assert credit_source.load(None, ALL, cache, offline)[1] == "generated"
    assert "NOT THE REAL DATA" in capsys.readouterr().err


def test_a_file_that_is_not_the_published_one_is_taken_with_a_note(tmp_path, capsys):
    path = tmp_path / "mine.csv"
    path.write_bytes(credit_source.well_known_form(SERVED, ALL))
    table, origin = credit_source.load(str(path), ALL)
    assert (table["LIMIT_BAL"], table["PAY_AMT5"], origin) == ([100000], [1200000], "real")
    assert capsys.readouterr().err == (
        f"note: {path} is not the published file, whose sha256 is {credit_source.SHA256}; taken as it is\n"
    )


def test_a_source_that_accepts_and_stays_silent_is_given_up_in_time():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/data.csv"
        start = time.monotonic()
        with pytest.raises(OSError, match=r"data.csv: (no answer in 0.3 s|timed out)$"):
            credit_source.download(url, patience=0.3)
        assert time.monotonic() - start < 2


@pytest.mark.parametrize("status", [200, 404])
def test_a_source_that_answers(status):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(SERVED)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/data.csv"
        if status == 200:
            assert credit_source.download(url) == SERVED
        else:
            with pytest.raises(OSError, match=r"data.csv: Not Found$"):
                credit_source.download(url)


def test_a_byte_order_mark_as_spreadsheets_write_it_is_no_part_of_the_first_name(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_bytes(b"\xef\xbb\xbf" + credit_source.well_known_form(SERVED, ALL).replace(b'"ID",', b"").replace(b"\n1,", b"\n"))
    assert credit_source.load(str(path), ALL)[0]["LIMIT_BAL"] == [100000]
