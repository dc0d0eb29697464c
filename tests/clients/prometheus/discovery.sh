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
port=$(free_port)
"$PROMETHEUS" --config.file=prometheus.yml --web.listen-address="127.0.0.1:$port" --storage.tsdb.path=tsdb >prometheus.log 2>&1 &
answers() { curl -sSf "http://127.0.0.1:$port/$1"; }
within 60 answers -/ready
raw() { answers api/v1/targets >"$HOME/targets"; }
targets() { raw && grep -q "$1" "$HOME/targets"; }
forgot() { raw && ! grep -q "$1" "$HOME/targets"; }
within 60 targets '"__meta_kubernetes_pod_name":"web-'
within 30 targets '"__meta_kubernetes_service_name":"web"'
within 30 targets '"__meta_kubernetes_endpointslice_name":"web'
within 30 targets '"__meta_kubernetes_ingress_host":"'"$NS.example"
within 30 targets '"__meta_kubernetes_node_name":"'
# What changes is seen.
run k create service clusterip later --tcp=80
within 30 targets '"__meta_kubernetes_service_name":"later"'
run k delete service later
within 30 forgot '"__meta_kubernetes_service_name":"later"'
run "$KUBECTL" delete clusterrole,clusterrolebinding "$NS"
