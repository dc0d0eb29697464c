# Prometheus' service discovery: pods, services, endpoint slices, ingresses and nodes of the endpoint are its targets.
run k create -f "$CLIENTS/data/web.yaml"
run k rollout status deploy/web --timeout=60s
run k create ingress web --rule="$NS.example/a*=web:80"
run k create serviceaccount reader
run "$KUBECTL" delete clusterrole,clusterrolebinding "$NS" --ignore-not-found
run "$KUBECTL" create clusterrole "$NS" --verb=get,list,watch --resource=nodes,pods,services,endpointslices.discovery.k8s.io,ingresses.networking.k8s.io
run "$KUBECTL" create clusterrolebinding "$NS" --clusterrole="$NS" --serviceaccount="$NS:reader"
k create token reader >token
"$KUBECTL" config view --raw -o 'go-template={{index (index .clusters 0).cluster "certificate-authority-data"}}' | base64 -d >ca.crt
server=$("$KUBECTL" config view --raw -o 'jsonpath={.clusters[0].cluster.server}')
echo 'scrape_configs:' >prometheus.yml
for role in pod service endpointslice ingress node; do
    cat >>prometheus.yml <<Y
- job_name: $role
  scrape_interval: 1h
  kubernetes_sd_configs:
  - role: $role
    api_server: $server
    tls_config: {ca_file: $PWD/ca.crt}
    authorization: {credentials_file: $PWD/token}
Y
    [ "$role" = node ] || echo "    namespaces: {names: [$NS]}" >>prometheus.yml
done
"$PROMETHEUS" --config.file=prometheus.yml --web.listen-address=127.0.0.1:19090 --storage.tsdb.path=tsdb >prometheus.log 2>&1 &
sleep 2
grep -q 'kubernetes_sd_configs not found' prometheus.log && skip 'this build of Prometheus has no kubernetes_sd'
targets() { curl -sS http://127.0.0.1:19090/api/v1/targets >"$HOME/targets" && grep "$1" "$HOME/targets" >/dev/null; }
within 60 targets '"__meta_kubernetes_pod_name":"web-'
within 30 targets '"__meta_kubernetes_service_name":"web"'
within 30 targets '"__meta_kubernetes_endpointslice_name":"web'
within 30 targets '"__meta_kubernetes_ingress_host":"'"$NS.example"
within 30 targets '"__meta_kubernetes_node_name":"'
# What changes is seen.
run k create service clusterip later --tcp=80
within 30 targets '"__meta_kubernetes_service_name":"later"'
run k delete service later
within 30 bash -c '! curl -sS http://127.0.0.1:19090/api/v1/targets | grep "\"__meta_kubernetes_service_name\":\"later\""'
run "$KUBECTL" delete clusterrole,clusterrolebinding "$NS"
