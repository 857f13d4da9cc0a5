#!/usr/bin/env bash
# image-start.sh IMAGE.tar [TIMES]: how long a router, and a node behind it, take from exec to their line "ready" as the image has
# them: user 65532, a root that is read-only, an empty cache in /tmp. Takes root, python3 and a kernel with mount namespaces.
set -euo pipefail

image=$(realpath "${1:?image-start.sh IMAGE.tar [TIMES]}")
times=${2:-5}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 - "$image" "$work" <<'PYTHON'
import json, os, subprocess, sys, tarfile
image, work = sys.argv[1:]
root = os.path.join(work, 'root')
os.makedirs(root)
with tarfile.open(image) as tar:
    manifest = json.load(tar.extractfile('manifest.json'))[0]
    config = json.load(tar.extractfile(manifest['Config']))
    for layer in manifest['Layers']:
        tar.extract(layer, work, filter='data')
        subprocess.run(['tar', '--warning=no-unknown-keyword', '-xf', os.path.join(work, layer), '-C', root], check=True)
        os.remove(os.path.join(work, layer))
with open(os.path.join(work, 'environment'), 'w') as out:
    out.writelines(each + '\n' for each in config['config']['Env'])
with open(os.path.join(work, 'entrypoint'), 'w') as out:
    out.writelines(each + '\n' for each in config['config']['Entrypoint'])
with open(os.path.join(work, 'user'), 'w') as out:
    out.write(config['config']['User'])
PYTHON
export work
mapfile -t entrypoint <"$work/entrypoint"

# Runs the image's command with arguments, its output in $work/$name.
run() {
  local name=$1
  shift
  : >"$work/$name"
  unshare --mount --propagation private sh -c '
    name=$1; shift
    mount --bind "$work/root" "$work/root"
    mount -t proc proc "$work/root/proc"
    mount -t tmpfs -o mode=1777 tmpfs "$work/root/tmp"
    mount -o remount,bind,ro "$work/root"
    exec env -i $(cat "$work/environment") /usr/sbin/chroot --userspec="$(cat "$work/user")" "$work/root" "$@"
  ' sh "$name" "${entrypoint[@]}" "$@" >"$work/$name" 2>"$work/$name.log" &
}

# Milliseconds from a moment until a line "ready" is in a file.
until_ready() {
  local began=$1 file=$2 child=$3
  until grep -q '^ready ' "$file"; do
    kill -0 "$child" 2>/dev/null || { cat "$file" "$file.log" >&2; exit 1; }
    sleep 0.01
  done
  echo $((($(date +%s%N) - began) / 1000000))
}

for _ in $(seq "$times"); do
  began=$(date +%s%N)
  run router router --http-port 18000 --grpc-port 18001
  router=$!
  router_ms=$(until_ready "$began" "$work/router" "$router")
  began=$(date +%s%N)
  run node node --stages encode,prefill,decode --router 127.0.0.1:18001 --port 18002
  node=$!
  node_ms=$(until_ready "$began" "$work/node" "$node")
  code=$(curl -s --retry 20 --retry-delay 1 -o "$work/answer" -w '%{http_code}' http://127.0.0.1:18000/v1/chat/completions -H 'content-type: application/json' \
    -d '{"messages":[{"role":"user","content":"how many circles are there ?"}],"max_tokens":4}')
  [ "$code" = 200 ] || cat "$work/answer" "$work/node.log" >&2
  echo "router_ms=$router_ms node_ms=$node_ms answer=$code"
  kill "$node" && wait "$node" || true
  kill "$router" && wait "$router" || true
done
