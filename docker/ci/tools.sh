#!/usr/bin/env bash
# Installs, from Debian's own packages, what builds and runs an image without a Docker engine.
# Ends with 0 when all is there, and with 3 and the reason where it can not be had.
set -euo pipefail

readonly TOOLS=(buildah mmdebstrap podman runc)

missing() {
  local tool found=()
  for tool in "${TOOLS[@]}"; do
    command -v "$tool" > /dev/null || found+=("$tool")
  done
  echo "${found[*]}"
}

can_not() {
  echo "$1" >&2
  exit 3
}

[[ $(uname -s) == Linux ]] || can_not "images are built on Linux only"
((EUID == 0)) || can_not "root is needed to build an image, and this is user $EUID"
[[ -z $(missing) ]] && exit
command -v apt-get > /dev/null || can_not "no apt-get here to install with: $(missing)"
export DEBIAN_FRONTEND=noninteractive
{ apt-get update && apt-get install --yes --no-install-recommends "${TOOLS[@]}" catatonit; } > /dev/null 2>&1 \
  || can_not "apt-get can not install: $(missing)"
