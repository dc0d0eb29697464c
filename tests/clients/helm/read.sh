# list, status, history, and every get.
run h install shop "$CLIENTS/data/chart" --skip-crds --no-hooks --set greeting=read --description 'the first'
expect 'shop*deployed*shop-0.1.0' h list
expect '"name":"shop"' h list -o json
expect 'STATUS: deployed*read' h status shop
expect '"status":"deployed"' h status shop -o json
expect 'the first' h history shop
expect 'greeting: read' h get values shop
expect 'replicas: 2' h get values shop --all
expect 'kind: DaemonSet*kind: Ingress' h get manifest shop
expect 'shop-before' h get hooks shop
expect 'shop says read' h get notes shop
expect 'CHART: shop' h get metadata shop
expect 'GREETING: "read"' h get all shop
expect 'shop' h list --all-namespaces
refuse 'release: not found' h status none
