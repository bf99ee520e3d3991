"""Small generated tables and versions trained on them, made once per run."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from model import artifact, credit, credit_generated, savings, signature
from model.app import App, Data, Model, Trained, held_out, open_model, train
from model.keep import kept
from model.table import Value


@dataclass(frozen=True)
class Version:
    """A trained version on disk, with the rows that production would send it."""

    folder: Path
    sha256: str
    trained: Trained
    model: Model
    rows: dict[str, list[Value]]
    keys: Path

    def sign(self, folder: Path) -> None:
        """Sign a folder with its key."""
        signer = signature.Signer.of(self.keys / signature.PRIVATE)
        (folder / artifact.SIGNATURE).write_bytes(signer.sign(folder, "app/1"))

    def served(self, **changed: str) -> dict[str, str]:
        """The environment that its model server gets."""
        keys = (self.keys / signature.PUBLIC).read_text()
        return {"MODEL_SHA256": self.sha256, "MODEL_SIGNING_KEYS": keys, **changed}


def _version(folder: Path, app: App, data: Data, keep: str = "") -> Version:
    trained = train(app, data, rounds=60, keep=kept(keep, data.table, app.columns) if keep else None)
    artifact.write(folder, trained.files)
    keys = folder.with_name(f"{folder.name}-keys")
    signature.make_keys(keys)
    version = Version(folder, artifact.digest(folder), trained, open_model(folder), held_out(app, data), keys)
    version.sign(folder)
    return version


@pytest.fixture(scope="session")
def credit_data() -> Data:
    """5 000 generated clients."""
    table = credit_generated.table(rows=5000)
    return Data({c.name: table[c.name] for c in credit.COLUMNS}, np.array(table[credit.TARGET.name], float), "generated")


@pytest.fixture(scope="session")
def savings_data() -> Data:
    """3 000 generated households."""
    return savings.generate(rows=3000)


@pytest.fixture(scope="session")
def credit_version(tmp_path_factory: pytest.TempPathFactory, credit_data: Data) -> Version:
    """A good version of credit."""
    return _version(tmp_path_factory.mktemp("credit"), credit.APP, credit_data)


@pytest.fixture(scope="session")
def bad_credit_version(tmp_path_factory: pytest.TempPathFactory, credit_data: Data) -> Version:
    """A version of credit that never saw PAY_0 = -2."""
    return _version(tmp_path_factory.mktemp("bad-credit"), credit.APP, credit_data, "PAY_0 != -2")


@pytest.fixture(scope="session")
def savings_version(tmp_path_factory: pytest.TempPathFactory, savings_data: Data) -> Version:
    """A good version of savings."""
    return _version(tmp_path_factory.mktemp("savings"), savings.APP, savings_data)


@pytest.fixture(params=["credit", "savings"])
def version(request: pytest.FixtureRequest) -> Version:
    """A good version of each app."""
    found: Version = request.getfixturevalue(f"{request.param}_version")
    return found


@pytest.fixture(scope="session")
def real_path() -> Path:
    """The real data set; a test that asks for it is skipped where there is none."""
    setting = os.environ.get("CREDIT_DATA")
    if setting in (None, "", "generated"):
        pytest.skip("not tested on the real data: CREDIT_DATA does not name UCI_Credit_Card.csv")
    return Path(setting)
