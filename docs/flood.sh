#!/bin/bash
# Floods the front door of a cluster of its own, and is slow to it on purpose, while a client that behaves is measured
# alone and beside each:
#   docs/flood.sh [SECONDS]
# Devices are emulated. The router takes 200 connections; the flood has a key with 20 requests a second and asks over 1000.
# Needs h2load (Debian: nghttp2-client), slowhttptest, curl, Node.js, and autocannon (`npm ci` in cli/src/test/js).
# Attackers run with less priority than the cluster, since in earnest they have machines of their own.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-20}
long=$((seconds + 4)) # from before the client begins until after it
http=18000 grpc=18001
url=http://127.0.0.1:$http
address=$(hostname -I | cut -d' ' -f1) # from which the client comes; attackers come from 127.0.0.1
work=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null; wait; rm -rf "$work"' EXIT
[ "$(ulimit -n)" -ge 4096 ] || ulimit -n 4096

good=$(./epidote keys add --file "$work/keys.json" --tenant good)
bad=$(./epidote keys add --file "$work/keys.json" --tenant flood --requests-per-second 20)
./epidote router --host 0.0.0.0 --http-port $http --grpc-port $grpc --admin-port 0 --api-keys "$work/keys.json" --max-connections 200 >"$work/router" 2>"$work/router.log" &
router=$!
./epidote node --stages encode,prefill,decode --router 127.0.0.1:$grpc --engine emulated \
  --profile tile_ms:20,prompt_token_ms:0.05,decode_step_ms:20 >"$work/node" 2>"$work/node.log" &
pids=("$router" $!)
for _ in $(seq 300); do curl -sf $url/readyz >/dev/null && break; sleep 0.1; done

metric() { curl -s -m 5 --retry 2 -H "Authorization: Bearer $good" "http://$address:$http/metrics" | awk -v name="$1" 'index($0, name) == 1 { sum += $NF } END { printf "%d", sum }' || true; }
held() { echo "$(awk '/VmRSS/ { printf "%d MB", $2 / 1024 }' /proc/$router/status), $(ls /proc/$router/fd | wc -l) files"; }
client() {
  OPENAI_API_KEY=$good ./epidote bench serve --url http://$address:$http --router $address:$grpc --rate 5 --requests $((seconds * 5)) --warm-up "$1" \
    --input-tokens 64 --output-tokens 32 --json 2>"$work/client.log" >"$work/client.json" || { echo "  client beside: failed"; tail -3 "$work/client.log"; return; }
  node -e '
    const f = JSON.parse(require("fs").readFileSync(process.argv[1])).figures;
    const n = name => f[name] === undefined ? "-" : f[name];
    console.log(`  client beside: ${f.requests} requests, ${f.errors} errors, TTFT p50 ${n("ttft_p50_ms")} p99 ${n("ttft_p99_ms")} ms, TPOT p50 ${n("tpot_p50_ms")} p99 ${n("tpot_p99_ms")} ms`);
  ' "$work/client.json"
}
# beside NAME COMMAND...: what the client sees, what the attacker got, and what the router was left with.
beside() {
  echo "$1"
  shift
  local before slow many most=0 now
  before=$(held) slow=$(metric 'epidote_http_connections_closed_total{why="slow"}') many=$(metric 'epidote_http_connections_closed_total{why="too_many"}')
  (nice -n 19 timeout $((seconds + 20)) "$@" >"$work/attack" 2>&1 || true) &
  local attack=$!
  client 0 &
  local measured=$!
  while kill -0 $measured 2>/dev/null; do
    now=$(metric 'epidote_http_connections ')
    [ "$now" -gt "$most" ] && most=$now
    sleep 1
  done
  wait $attack $measured || true
  sed 's/\x1b\[[0-9;]*m//g' "$work/attack" | grep -aE 'requests:|status codes|2xx responses|requests in|errors \(|service available|(closed|error|connected|pending):' | tail -8 | sed 's/^[ \t]*/  attacker: /' || true
  sleep 3
  echo "  router: $most connections at most, closed $(($(metric 'epidote_http_connections_closed_total{why="slow"}') - slow)) for being slow and $(($(metric 'epidote_http_connections_closed_total{why="too_many"}') - many)) for being too many; before $before, after $(held)"
}

printf '{"max_tokens":32,"ignore_eos":true,"messages":[{"role":"user","content":"hello"}]}' >"$work/question.json"
printf '\0\0\0\0\0' >"$work/frame" # an empty message of gRPC
key="authorization: Bearer $bad"
header=$'\r\nAuthorization: Bearer '$bad

echo "alone"
client 30
beside "h2load, 1000 connections: GET /v1/models" h2load --h1 -t1 -c1000 -D"$long" -H "$key" $url/v1/models
beside "h2load, 1000 connections: chat" h2load --h1 -t1 -c1000 -D"$long" -H "$key" -H "content-type: application/json" -d "$work/question.json" $url/v1/chat/completions
beside "h2load, 20 gRPC connections of 1000 streams: GetLoad" h2load -t1 -c20 -m1000 -D"$long" -H "$key" -H "content-type: application/grpc" -H "te: trailers" -d "$work/frame" http://127.0.0.1:$grpc/epidote.v1.Inference/GetLoad
beside "autocannon, 1000 connections: chat" cli/src/test/js/node_modules/.bin/autocannon -c 1000 -d "$long" -m POST -H "Authorization=Bearer $bad" -H "Content-Type=application/json" -i "$work/question.json" $url/v1/chat/completions
beside "slowhttptest, 1000 connections: slow heads" slowhttptest -H -c 1000 -r 200 -i 5 -l "$long" -x 24 -p 3 -u $url/v1/models
beside "slowhttptest, 1000 connections: slow bodies" slowhttptest -B -c 1000 -r 200 -i 5 -l "$long" -x 24 -s 8192 -p 3 -f "application/json$header" -u $url/v1/chat/completions
beside "slowhttptest, 1000 connections: slow readers" slowhttptest -X -c 1000 -r 200 -k 10 -w 1 -y 512 -z 5 -n 5 -l "$long" -p 3 -m "*/*$header" -u $url/metrics
