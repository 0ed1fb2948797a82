#!/usr/bin/env bash
# Builds the image without a registry, and with no use of the network: bases from base.sh, wheels from wheels.py.
# Usage: build.sh TAG. $PYTHON is an interpreter with pip and packaging (default: that of .venv).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
tag=$1
python=${PYTHON:-$root/.venv/bin/python}

# One build at a time: they share the storage, the bases and the wheels.
mkdir -p "$root/.tools/image"
exec 9> "$root/.tools/image/lock"
flock 9

"$here/base.sh" &
bases=$!
wheels=$("$python" "$here/wheels.py")
wait "$bases"
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/pyproject.toml")
# Of a source tree without git: none. The commit's time, not now: the same commit makes the same labels.
revision=$(git -C "$root" rev-parse HEAD 2> /dev/null || true)
created=$(git -C "$root" log -1 --format=%cI 2> /dev/null || true)

# chroot, which needs the host's network: a build inside a container that may not make containers works, too.
# Equal times: the same sources then make the same image, and the same lock the same layer of dependencies.
"$here/engine.sh" buildah bud --quiet --isolation chroot --network host --layers --force-rm --pull-never --timestamp 0 \
  --build-context "wheels=$wheels" --build-arg PIP_NO_INDEX=1 \
  --build-arg "VERSION=$version" --build-arg "REVISION=$revision" --build-arg "CREATED=$created" \
  --tag "$tag" --file "$root/docker/Dockerfile" "$root"
