# Sourced by the scripts beside it: makes the project's virtual environment once, and again when setup.py changes.
# Usage: source _environment.sh EXTRAS ...   (afterwards `python` is the environment's)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

PYTHON="${PYTHON:-python3}"
stamp=".venv/.installed-$1-$(cksum setup.py | cut -d' ' -f1)"
if [ ! -e "$stamp" ]; then
    echo "Setting up .venv (a few minutes, once) ..."
    [ -x .venv/bin/python ] || "$PYTHON" -m venv .venv
    # A CPU build of torch: an open request would bring several gigabytes of CUDA. Skipped if a torch is there.
    .venv/bin/python -c "import torch" 2>/dev/null || .venv/bin/python -m pip install --quiet "torch==2.13.0"
    .venv/bin/python -m pip install --quiet --editable ".[$1]"
    touch "$stamp"
fi
PATH="$PWD/.venv/bin:$PATH"
