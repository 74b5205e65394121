# Sourced by the scripts beside it: makes .venv, or reuses it when nothing has changed.
# Usage: . scripts/venv.sh EXTRA     (EXTRA: embedded or dev)

say() { printf '== %s\n' "$*" >&2; }
fail() { printf 'afx: %s\n' "$*" >&2; exit 1; }

afx_python() {
  local name
  for name in "${AFX_PYTHON:-}" python3 python3.13 python3.12 python3.11 python; do
    [ -n "$name" ] || continue
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
      command -v "$name"
      return
    fi
  done
  return 1
}

afx_venv() {
  local extra=$1 python stamp want log
  cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
  python=$(afx_python) || fail "Python 3.11 or newer was not found; install it, or set AFX_PYTHON to it."
  want="$extra $(cksum <pyproject.toml) $PWD"
  for stamp in .venv/.afx-dev ".venv/.afx-$extra"; do
    # What dev installs includes what embedded needs.
    if [ -x .venv/bin/afx ] && [ -f "$stamp" ] && [ "$(sed "s/^dev /$extra /" "$stamp")" = "$want" ]; then
      return
    fi
  done
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  if ! [ -x .venv/bin/python ] || ! .venv/bin/python -c '' >/dev/null 2>&1; then
    say "making a virtual environment in .venv with $python"
    rm -rf .venv
    if ! "$python" -m venv .venv >"$log" 2>&1; then
      cat "$log" >&2
      fail "The virtual environment could not be made; does this Python have the venv module (Debian: python3-venv)?"
    fi
  fi
  say "installing afx[$extra] into .venv (a minute the first time)"
  if ! .venv/bin/python -m pip install --disable-pip-version-check -q -e ".[$extra]" >"$log" 2>&1; then
    tail -n 5 "$log" >&2
    fail "The packages could not be installed; is a package index in reach? The end of pip's output is above."
  fi
  printf '%s\n' "$want" >".venv/.afx-$extra"
  rm -f "$log"
  trap - EXIT
}

afx_venv "$1"
