#!/usr/bin/env sh
# Installs what the project needs: a virtual environment from the hash-pinned requirement files, and the lab's tools.
# Does nothing when nothing has changed since the last time. Usage: ./setup.sh [pipelines | oracle]
# `pipelines` is an environment of its own, .venv-pipelines, made when `make train` first asks: Kubeflow's and MLflow's
# libraries pin others that the controller and the model server want newer. Both share lightgbm, xgboost and numpy.
# `oracle` is another, .venv-oracle, made when `make test` first asks: the library that the gate's e-values are compared with.
set -eu
cd "$(dirname "$0")"
own=${1:-}
case $own in
  "") size=700 ;;
  pipelines) size=900 ;;
  oracle) size=550 ;;
  *) echo "usage: ./setup.sh [pipelines | oracle]"; exit 2 ;;
esac
venv=.venv${own:+-$own}
locked=requirements/${own:-all}.txt
stamp=$venv/ready-$(cat requirements/uv.txt "$locked" pyproject.toml | sha256sum | cut -c1-16)
[ -e "$stamp" ] && exit 0

say() { printf 'setup: %s\n' "$*"; }
fits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; }

command -v git >/dev/null || { say "git is not on PATH; install it with your package manager"; exit 2; }
python=
for name in "${PYTHON:-python3.11}" python3.12 python3; do
  if fits "$name"; then python=$name; break; fi
done
[ -n "$python" ] || { say "needs Python 3.11 or 3.12 on PATH, or PYTHON=/path/to/one (the model server knows no newer one yet)"; exit 2; }

say "virtual environment $venv with $($python --version)"
rm -rf "$venv"
"$python" -m venv "$venv" || { say "python has no venv module; Debian's package is python3-venv"; exit 2; }
say "packages (hash-pinned; about $size MB)"
"$venv"/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
"$venv"/bin/uv pip install --quiet --python "$venv"/bin/python --require-hashes -r "$locked" ||
  "$venv"/bin/pip install --quiet --disable-pip-version-check --require-hashes -r "$locked"
"$venv"/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
if [ -z "$own" ]; then
  say "tools"
  "$venv"/bin/python -m lab.tools
fi
touch "$stamp"
say "done: $venv/bin/rollout"
