# Sourced by the scripts beside it, from the top of the checkout: makes the environments they run in.

say() { printf '== %s\n' "$*" >&2; }
fail() {
  printf 'afx: %s\n' "$*" >&2
  exit 1
}

# Prints the comment on top of a script: its help.
usage() { sed -n '2,/^[^#]/s/^#\( \|$\)//p' "$1"; }

# Runs a command without its output, unless it fails: quietly MESSAGE COMMAND…
quietly() {
  local message=$1 output
  shift
  if ! output=$("$@" 2>&1); then
    printf '%s\n' "$output" | tail -n 15 >&2
    fail "$message"
  fi
}

# Prints a Python of at least 3.11, or the one that is asked for: find_python [VERSION | PATH]
find_python() {
  local wanted=${1:-} name
  local -a names
  if [ -n "$wanted" ]; then
    names=("$wanted" "python$wanted" "${PYENV_ROOT:-${HOME:-}/.pyenv}/versions/$wanted"*/bin/python)
  else
    names=("${AFX_PYTHON:-}" python3 python3.13 python3.12 python3.11 python)
  fi
  for name in "${names[@]}"; do
    if [ -n "$name" ] && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
      command -v "$name"
      return
    fi
  done
  if [ -n "$wanted" ]; then
    fail "Python $wanted was not found, or is older than 3.11; install it, or name its path."
  fi
  fail "Python 3.11 or newer was not found; install it, or set AFX_PYTHON to its path."
}

# Makes a virtual environment, or uses the one that is there: make_venv DIRECTORY [PYTHON]
make_venv() {
  local venv=$1 python=${2:-}
  if "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    return
  fi
  if [ -z "$python" ]; then
    python=$(find_python)
  fi
  say "making a virtual environment in $venv with $python"
  rm -rf "$venv"
  quietly "The virtual environment could not be made. Does this Python have the venv module (Debian: python3-venv)?" \
    "$python" -m venv "$venv"
}

# pip_install DIRECTORY ARGUMENTS…
pip_install() {
  local venv=$1
  shift
  quietly "The packages could not be installed. Is a package index in reach? The end of pip's output is above." \
    "$venv/bin/python" -m pip install --disable-pip-version-check --quiet "$@"
}

# Installs the versions that requirements/ locks, and afx, unless that is done:
# install_locked DIRECTORY embedded|dev [PYTHON]
install_locked() {
  local venv=$1 kind=$2 python=${3:-} want name
  want="$(cat pyproject.toml requirements/*.txt | cksum) $PWD"
  for name in "$kind" dev; do # dev includes embedded
    if [ -x "$venv/bin/afx" ] && [ "$(cat "$venv/.afx-$name" 2>/dev/null)" = "$want" ]; then
      return
    fi
  done
  make_venv "$venv" "$python"
  say "installing afx[$kind] into $venv (a minute the first time)"
  # The build tools come first and from the lock as well: pip fetches none by itself.
  pip_install "$venv" --require-hashes -r requirements/build.txt
  pip_install "$venv" --require-hashes --no-build-isolation --no-compile -r "requirements/$kind.txt"
  # On all cores, which pip does not; packages may hold files that are not for this Python.
  "$venv/bin/python" -m compileall -q -j 0 "$venv/lib" >/dev/null 2>&1 || true
  pip_install "$venv" --no-deps --no-build-isolation -e .
  printf '%s\n' "$want" >"$venv/.afx-$kind"
}

# Installs the newest versions that pyproject.toml allows, each time: install_newest DIRECTORY [PYTHON]
install_newest() {
  local venv=$1 python=${2:-}
  make_venv "$venv" "$python"
  say "installing the newest versions that pyproject.toml allows into $venv"
  pip_install "$venv" --upgrade --upgrade-strategy eager -e '.[dev]'
}
