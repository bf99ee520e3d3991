"""Stands in for S3, by moto's server on this machine, and for the copy that Seldon's model initializer makes with rclone.

Runs in the pipelines' environment, which has the libraries for it:
    python -m lab.s3 serve PORT FOLDER   the bucket `models`, which begins with the folder's files; says `serving` when it does
    python -m lab.s3 copy URI DIR        what is under s3://<bucket>/<prefix>, by the variables that rclone would read
"""

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from model import store

PYTHON = Path(__file__).resolve().parent.parent / ".venv-pipelines" / "bin" / "python"
BUCKET, REGION = "models", "us-east-1"
ENDPOINT = "RCLONE_CONFIG_S3_ENDPOINT"  # of the Secret that a SeldonDeployment's envSecretRefName names
KEY, SECRET = "RCLONE_CONFIG_S3_ACCESS_KEY_ID", "RCLONE_CONFIG_S3_SECRET_ACCESS_KEY"


def rclone(port: int, key: str, secret: str) -> dict[str, str]:
    """What the model initializer is told of the bucket: rclone's variables, as docs/on-your-cluster.md names them."""
    own = {"TYPE": "s3", "PROVIDER": "Other", "ENV_AUTH": "false"}
    told = {f"RCLONE_CONFIG_S3_{name}": value for name, value in own.items()}
    return told | {ENDPOINT: f"http://127.0.0.1:{port}", KEY: key, SECRET: secret}


def aws(told: Mapping[str, str]) -> dict[str, str]:
    """The same for Amazon's library."""
    names = {"AWS_ENDPOINT_URL": ENDPOINT, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
    return {name: told[source] for name, source in names.items()} | {"AWS_DEFAULT_REGION": REGION}


def _serve(port: int, folder: Path) -> None:
    from moto.server import ThreadedMotoServer  # noqa: PLC0415  # only this environment has it

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port)
    server.start()
    os.environ |= aws(rclone(port, "any", "any"))
    bucket = store.bucket(BUCKET)
    bucket.client.create_bucket(Bucket=BUCKET)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        bucket.create(path.relative_to(folder).as_posix(), path.read_bytes())
    print("serving", flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


def _copy(uri: str, into: Path) -> int:
    os.environ |= aws(os.environ)
    parts = urlsplit(uri)
    bucket, prefix = store.bucket(parts.netloc), parts.path.strip("/") + "/"
    names = bucket.names(prefix)
    for name in names:
        path = into / name.removeprefix(prefix)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bucket.read(name))
    if not names:
        print(f"{uri}: directory not found", file=sys.stderr)
    return 0 if names else 1


if __name__ == "__main__":
    words = sys.argv[1:]
    if words[0] == "serve":
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
        _serve(int(words[1]), Path(words[2]))
    else:
        sys.exit(_copy(words[1], Path(words[2])))
