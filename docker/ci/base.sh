#!/usr/bin/env bash
# Makes the Dockerfile's two bases without a registry: a Debian of the same release with the same Python, under the names
# that FROM asks for. Made once; `rm -r .tools/image` makes them anew. Debian's Python lies in /usr, not in /usr/local.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly RELEASE=trixie
readonly BASE=docker.io/library/python:3.13-slim-$RELEASE
readonly BUILD_BASE=docker.io/library/python:3.13-$RELEASE

engine() { "$here/engine.sh" "$@"; }

# make TAG PACKAGES: a minimal Debian with these packages, and no manuals or translations, as in the slim images.
make() {
  local tag=$1 packages=$2 rootfs container
  if engine buildah inspect --type image "$tag" > /dev/null 2>&1; then
    return
  fi
  rootfs=$(mktemp --tmpdir="$work" --suffix=.tar)
  mmdebstrap --quiet --variant=minbase --include="$packages" \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    "$RELEASE" "$rootfs"
  container=$(engine buildah from scratch)
  engine buildah add --quiet "$container" "$rootfs" / > /dev/null
  engine buildah config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin --cmd python3 "$container"
  engine buildah commit --quiet --rm "$container" "$tag" > /dev/null
  rm "$rootfs"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Side by side: dpkg uses one core.
make "$BASE" ca-certificates,netbase,python3,tzdata &
first=$!
make "$BUILD_BASE" binutils,ca-certificates,netbase,python3,python3-pip,python3-venv,tzdata
wait "$first"
