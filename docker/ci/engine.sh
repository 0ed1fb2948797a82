#!/usr/bin/env bash
# Runs buildah or podman on a storage of its own, so that the machine's own images and containers are left alone.
# Usage: engine.sh buildah|podman ARGS
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
home=$root/.tools/image
mkdir -p "$home/storage" "$home/run"

cat > "$home/storage.conf.$$" << END
[storage]
driver = "overlay"
graphroot = "$home/storage"
runroot = "$home/run"
END
# No systemd and no journal here; the limits are those that any container may have.
cat > "$home/containers.conf.$$" << END
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
log_driver = "k8s-file"

[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
END
mv "$home/storage.conf.$$" "$home/storage.conf"
mv "$home/containers.conf.$$" "$home/containers.conf"

export CONTAINERS_STORAGE_CONF=$home/storage.conf CONTAINERS_CONF=$home/containers.conf
exec "$@"
