#!/usr/bin/env bash
# image-base.sh FILE: makes a base image of Debian's packages, for machines that reach these but no registry of images.
# Takes root and mmdebstrap. Then: mvn -q -Pimage -pl cli -am package -DskipTests -Dimage.base=tar://FILE
set -euo pipefail

file=$(realpath -m "${1:?image-base.sh FILE: where the image is written}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mmdebstrap --quiet --variant=minbase --mode=root \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  --include=libstdc++6,ca-certificates bookworm "$work/layer.tar"
digest=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
cat >"$work/config.json" <<EOF
{"architecture":"amd64","os":"linux","created":"1970-01-01T00:00:00Z","config":{},
 "rootfs":{"type":"layers","diff_ids":["sha256:$digest"]},"history":[{"created_by":"mmdebstrap"}]}
EOF
cat >"$work/manifest.json" <<EOF
[{"Config":"config.json","RepoTags":["base:latest"],"Layers":["layer.tar"]}]
EOF
tar -C "$work" -cf "$file" manifest.json config.json layer.tar
