#!/usr/bin/env bash
# The journey of the end-to-end test on kind clusters: three members, one hub on this machine.
# Needs Linux, docker, kind, kubectl, curl, jq, cargo, and sudo for routes to the pods' networks.
# Leaves nothing behind, also when interrupted; KEEP=1 leaves everything.
set -euo pipefail

readonly members=(east west north)
readonly image_old=registry.k8s.io/e2e-test-images/agnhost:2.52
readonly image_new=registry.k8s.io/e2e-test-images/agnhost:2.53
readonly gateway=127.0.0.1:7080
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
readonly root work
hub_pid=

say() { printf '\n== %s\n' "$*"; }

die() {
  printf 'failed: %s\n' "$*" >&2
  exit 1
}

node() { printf 'fedgate-%s-control-plane' "$1"; }

address() { docker inspect -f '{{.NetworkSettings.Networks.kind.IPAddress}}' "$(node "$1")"; }

hub() { kubectl --kubeconfig "$work/data/kubeconfig" "$@"; }

on() { kubectl --kubeconfig "$work/members" --context "kind-fedgate-$1" "${@:2}"; }

fedgate() { FEDGATE_KUBECONFIG=$work/data/kubeconfig "$root/target/release/fedgate" "$@"; }

# Tries a command once a second until it succeeds.
eventually() {
  local left=120
  until "$@" >/dev/null 2>&1; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || die "did not come true: $*"
    sleep 1
  done
}

clean() {
  local status=$?
  trap - EXIT INT TERM
  if [ -n "${KEEP:-}" ]; then
    echo "kept: $work, clusters fedgate-{east,west,north}"
    exit "$status"
  fi
  if [ -n "$hub_pid" ] && kill "$hub_pid" 2>/dev/null; then
    wait "$hub_pid" || true
  fi
  for number in "${!members[@]}"; do
    sudo ip route del "10.1$number.0.0/16" 2>/dev/null || true
    kind delete cluster --name "fedgate-${members[$number]}" >/dev/null 2>&1 || true
  done
  rm -rf "$work"
  exit "$status"
}

ready_on() { [ "$(on "$1" -n shop get deployment web -o jsonpath='{.status.readyReplicas}')" = "$2" ]; }

image_on() { [ "$(on "$1" -n shop get deployment web -o jsonpath='{.spec.template.spec.containers[0].image}')" = "$2" ]; }

gone_on() { ! on "$1" -n shop get deployment web; }

ask() { curl -fsS --max-time 5 -H 'Host: web.example' "http://$gateway/hostname"; }

# How many different pods answer to 30 requests.
answering() {
  for _ in $(seq 30); do
    ask || return 1
    echo
  done | sort -u | wc -l
}

answers_from() { [ "$(answering)" -ge "$1" ]; }

start_members() {
  for number in "${!members[@]}"; do
    local name=${members[$number]}
    cat >"$work/$name.yaml" <<YAML
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
networking: {podSubnet: "10.1$number.0.0/16", serviceSubnet: "10.2$number.0.0/16"}
YAML
    kind create cluster --name "fedgate-$name" --config "$work/$name.yaml" --kubeconfig "$work/members" --wait 120s
    sudo ip route replace "10.1$number.0.0/16" via "$(address "$name")"
  done
}

start_hub() {
  cargo build --release --manifest-path "$root/Cargo.toml" --target-dir "$root/target"
  "$root/target/release/fedgate" serve --data-dir "$work/data" --default-placement all \
    --api-addr 127.0.0.1:7443 --ingress-addr "$gateway" --ingress-tls-addr 127.0.0.1:7843 \
    --dns-addr 127.0.0.1:7053 --admin-addr 127.0.0.1:7090 >"$work/hub.log" 2>&1 &
  hub_pid=$!
  eventually test -s "$work/data/endpoints.json"
  for name in "${members[@]}"; do
    fedgate cluster add "$name" --kubeconfig "$work/members" --context "kind-fedgate-$name" \
      --server-address "https://$(address "$name"):6443" --permissions admin --yes
  done
}

apply_shop() {
  hub apply -f - <<YAML
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: web, namespace: shop}
data: {colour: green}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 6
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: web
          image: $image_old
          args: [netexec, --http-port=8080]
          envFrom: [{configMapRef: {name: web}}]
          ports: [{name: http, containerPort: 8080}]
          readinessProbe: {httpGet: {path: /healthz, port: http}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: http}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, namespace: shop}
spec:
  ingressClassName: fedgate
  rules:
    - host: web.example
      http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {name: http}}}}]}
YAML
}

main() {
  for tool in docker kind kubectl curl jq cargo sudo ip; do
    command -v "$tool" >/dev/null || die "$tool is not installed"
  done
  trap clean EXIT INT TERM

  say "three members and a hub"
  start_members
  start_hub

  say "six replicas, two in each member"
  apply_shop
  hub -n shop rollout status deployment/web --timeout 180s
  for name in "${members[@]}"; do
    eventually ready_on "$name" 2
    on "$name" -n shop get configmap web -o json | jq -e '.data.colour == "green"' >/dev/null
  done
  eventually answers_from 6

  say "nine replicas and a new image"
  hub -n shop scale deployment/web --replicas 9
  hub -n shop set image deployment/web "web=$image_new"
  hub -n shop rollout status deployment/web --timeout 300s
  for name in "${members[@]}"; do
    eventually ready_on "$name" 3
    image_on "$name" "$image_new" || die "$name has another image"
  done
  eventually answers_from 9

  say "a member without its API server keeps its traffic"
  docker exec "$(node east)" mv /etc/kubernetes/manifests/kube-apiserver.yaml /tmp/
  eventually bash -c "! curl -ks --max-time 2 https://$(address east):6443/livez"
  answers_from 9 || die "pods of a member without its API server lost their traffic"
  docker exec "$(node east)" mv /tmp/kube-apiserver.yaml /etc/kubernetes/manifests/
  eventually ready_on east 3

  say "what is deleted at the hub is deleted everywhere"
  hub -n shop delete deployment web
  for name in "${members[@]}"; do
    eventually gone_on "$name"
  done

  say "a removed member keeps its objects without our labels"
  fedgate cluster remove west --yes
  on west -n shop get configmap web -o json |
    jq -e '[.metadata.labels // {} | keys[] | select(startswith("fedgate.dev/"))] == []' >/dev/null ||
    die "west still has our labels"

  say "passed"
}

main "$@"
