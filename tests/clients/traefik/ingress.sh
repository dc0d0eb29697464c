# Traefik's provider: Ingresses of the endpoint become its routes, and go with them.
run k create -f "$CLIENTS/data/web.yaml"
run k rollout status deploy/web --timeout=60s
run k create ingress web --rule="$NS.example/a*=web:80" --annotation kubernetes.io/ingress.class=watched
run k create serviceaccount reader
run k create role reader --verb=get,list,watch --resource=ingresses.networking.k8s.io,services,secrets,configmaps,endpointslices.discovery.k8s.io
run k create rolebinding reader --role=reader --serviceaccount="$NS:reader"
"$KUBECTL" config view --raw -o 'go-template={{index (index .clusters 0).cluster "certificate-authority-data"}}' | base64 -d >ca.crt
server=$("$KUBECTL" config view --raw -o 'jsonpath={.clusters[0].cluster.server}')
port=$(free_port)
env -u KUBECONFIG "$TRAEFIK" --providers.kubernetesingress.endpoint="$server" --providers.kubernetesingress.certauthfilepath="$PWD/ca.crt" \
    --providers.kubernetesingress.token="$(k create token reader)" --providers.kubernetesingress.namespaces="$NS" \
    --providers.kubernetesingress.ingressclass=watched \
    --providers.kubernetesingress.disableclusterscoperesources=true \
    --entrypoints.web.address=127.0.0.1:0 --entrypoints.traefik.address="127.0.0.1:$port" --api.insecure=true \
    --log.level=DEBUG --global.checknewversion=false --global.sendanonymoususage=false >traefik.log 2>&1 &
raw() { curl -sSf "http://127.0.0.1:$port/api/rawdata" >"$HOME/raw"; }
routes() { raw && grep -q "$1" "$HOME/raw"; }
forgot() { raw && ! grep -q "$1" "$HOME/raw"; }
within 30 routes "$NS.example"
# Its backends are the pods' own addresses; a cluster without a pod has a slice without endpoints.
addresses=$(k get endpointslices -l kubernetes.io/service-name=web -o 'jsonpath={.items[*].endpoints[*].addresses[*]}')
within 30 routes "http://${addresses%% *}:"
run k patch ingress web --type=json -p '[{"op":"replace","path":"/spec/rules/0/host","value":"moved.example"}]'
within 30 routes moved.example
run k delete ingress web
within 30 forgot moved.example
