#!/bin/sh
# A developer's entry: runs a command on the mounted source, in a plain Python image or in the product's own.
#
#   docker-entrypoint.sh pipeline-processing worker --lane live
#
# Installs what requirements.lock names, once for each state of it; on a volume, once for all containers.
#   SKIP_INSTALL=1    install nothing: the image, or the volume, has what is needed
#   ENVIRONMENT       folder of the virtual environment (default: .environment in the home folder, or in /tmp)
set -eu

source=$(CDPATH='' cd -- "$(dirname -- "$(readlink -f -- "$0")")/.." && pwd)
environment=${ENVIRONMENT:-${HOME:-/tmp}/.environment}

wanted() {
  { python3 --version; cat "$source/requirements.lock" "$source/pyproject.toml"; } | sha256sum
}

pip() {
  "$environment/venv/bin/python" -m pip --disable-pip-version-check --quiet "$@"
}

install() {
  if [ "$(cat "$environment/installed" 2> /dev/null)" = "$(wanted)" ]; then
    return
  fi
  echo "docker-entrypoint: installing into $environment (once)" >&2
  python3 -m venv --clear "$environment/venv"
  pip install --require-hashes --requirement "$source/requirements.lock"
  # Its programs and entry points; its modules come from the mounted source, see PYTHONPATH below.
  pip install --no-deps "$source"
  wanted > "$environment/installed"
}

if [ "${SKIP_INSTALL:-0}" != 1 ]; then
  mkdir -p "$environment"
  # Containers that share the folder start together; one installs, the others wait.
  (
    flock 9
    install
  ) 9> "$environment/lock"
fi

export PATH="$environment/venv/bin:$PATH"
# What is mounted is what runs, also where the image has a version of its own.
export PYTHONPATH="$source/libs:$source/services${PYTHONPATH:+:$PYTHONPATH}"

[ $# -gt 0 ] || set -- pipeline-processing --help
command -v "$1" > /dev/null || {
  echo "docker-entrypoint: there is no $1 here; without SKIP_INSTALL=1 it would be installed" >&2
  exit 2
}
exec "$@"
