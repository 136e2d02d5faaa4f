#!/usr/bin/env bash
# Build or bring up to date .venv, the project's environment; called by `make env`.
# The stamp is written last, so that an interrupted call is finished by the next one: if packages were being installed
# when it stopped, .venv is made anew, because a package half written may look whole.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.venv stamp=.venv/.stamp busy=.venv/.installing log=.venv/install.log
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PYTHONNOUSERSITE=1
unset PYTHONPATH PYTHONHOME

fresh() { [ -e "$stamp" ] && [ "$stamp" -nt requirements.lock ] && [ "$stamp" -nt pyproject.toml ]; }

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3.11 python3 python; do
    if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "make env needs Python 3.11, and none of python3.11, python3, python is one. Install it, or say where it is: make env PYTHON=/path/to/python3.11" >&2
  return 1
}

step() { # step "what it does" command...: one line, and the log if it fails
  local what=$1 began=$SECONDS
  shift
  printf '  %s ... ' "$what"
  if ! "$@" >>"$log" 2>&1; then
    printf 'failed\n'
    grep -v 'is ignored: it is ' "$log" | tail -n 30 >&2 || true
    echo "make env stopped at: $what. The lines above are the end of $log; mend the cause and run make env again." >&2
    exit 1
  fi
  printf '%s s\n' "$((SECONDS - began))"
}

mkdir -p "$venv"
if command -v flock >/dev/null 2>&1; then
  exec 9>.venv/.lock
  flock 9 # a second make in the same clone waits for the first
fi
trap 'echo; echo "Stopped; the next make env begins anew." >&2; exit 130' INT TERM
if fresh; then exit 0; fi

python=$(find_python)
if [ -e "$busy" ]; then
  # Aside at once, deleted in the background: on some disks that takes minutes.
  stale=$(mktemp -d .venv-stale-XXXXXX)
  find "$venv" -mindepth 1 -maxdepth 1 ! -name .lock -exec mv {} "$stale" \;
  nohup rm -rf .venv-stale-* >/dev/null 2>&1 9>&- &
fi
: >"$busy"
: >"$log"
echo "Environment in $venv ($("$python" --version)), log in $log"
pip=("$venv/bin/python" -m pip --no-input install)
step "virtual environment" "$python" -m venv "$venv"
step "packages of requirements.lock" "${pip[@]}" --no-compile --no-deps -r requirements.lock
step "torch" "${pip[@]}" --no-compile "$(sed -n 's/^ *"\(torch==[^"]*\)",*$/\1/p' pyproject.toml)"
step "asgd_lib itself" "${pip[@]}" --no-deps --no-build-isolation --editable .
# Once and on all cores, or every process compiles anew where nobody may write bytecode. Files for other Pythons fail, and nobody needs them.
step "bytecode" bash -c '"$1" -m compileall -q -j 0 "$2" || true' - "$venv/bin/python" "$venv/lib/python3.11/site-packages"
step "check" "$venv/bin/python" -m pip check
rm -f "$busy"
touch "$stamp"
