import hashlib
import subprocess

import pytest

from model import artifact
from model.table import BadInput

COMMAND = r"find . -type f ! -path ./model.sig -printf '%P\n' | LC_ALL=C sort | xargs -d '\n' sha256sum"


@pytest.fixture
def folder(tmp_path):
    for name in ("model.bst", "Z", "a b/c", "a/b", "a-b", "ü.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode() * 3)
    return tmp_path


def test_the_listing_and_digest_are_what_sha256sum_prints(folder):
    printed = subprocess.run(COMMAND, shell=True, cwd=folder, check=True, capture_output=True).stdout
    assert artifact.listing(folder).encode() == printed
    assert artifact.digest(folder) == hashlib.sha256(printed).hexdigest()
    assert COMMAND in artifact.__doc__


def test_the_digest_of_a_folder_with_one_file_f_holding_x_never_changes(tmp_path):
    (tmp_path / "f").write_bytes(b"x")
    assert artifact.digest(tmp_path) == "e93f0689cf0ce030f04d8f3ea1337ea30691df4d6f96bfef71f3cc46f89f5553"


def test_a_changed_a_renamed_and_an_added_file_change_the_digest(folder):
    before = artifact.digest(folder)
    (folder / "Z").rename(folder / "Y")
    renamed = artifact.digest(folder)
    (folder / "Y").rename(folder / "Z")
    assert artifact.digest(folder) == before
    (folder / "Z").write_bytes(b"other")
    changed = artifact.digest(folder)
    (folder / "more").touch()
    assert len({before, renamed, changed, artifact.digest(folder)}) == 4


def test_another_digest_than_expected_is_refused(folder):
    with pytest.raises(BadInput) as error:
        artifact.verify(folder, "0" * 64)
    assert str(error.value) == f"{folder}: sha256 is {artifact.digest(folder)}; must be {'0' * 64}"


def test_a_name_that_sha256sum_would_escape_is_refused(tmp_path):
    (tmp_path / "a\nb").touch()
    with pytest.raises(BadInput) as error:
        artifact.digest(tmp_path)
    assert str(error.value) == f"{tmp_path}: file name 'a\\nb' holds a line break or backslash; rename it"


def test_a_folder_with_foreign_files_is_not_written_to(folder):
    with pytest.raises(BadInput) as error:
        artifact.write(folder, {"model.bst": b""})
    assert str(error.value) == f"{folder}: holds Z; name a folder that is new, empty or a trained version"
    assert (folder / "model.bst").read_bytes() != b""


BROKEN = {
    "no file": (None, "/schema.json: cannot be read (No such file or directory); is this a trained version?"),
    "not JSON": (b"{", "/schema.json: is not JSON (Expecting property name enclosed in double quotes: line 1 column 2 (char 1))"),
    "no object": (b"[]", "/schema.json: must be a JSON object"),
}


@pytest.mark.parametrize(("content", "message"), BROKEN.values(), ids=BROKEN)
def test_a_folder_that_is_no_version_is_said_so(tmp_path, content, message):
    if content is not None:
        (tmp_path / "schema.json").write_bytes(content)
    with pytest.raises(BadInput) as error:
        artifact.read_json(tmp_path, "schema.json")
    assert str(error.value) == f"{tmp_path}{message}"
