# install: a chart of fifteen kinds with a hook, waited for; what it left behind.
h template shop "$CLIENTS/data/chart" >rendered.yaml
[ "$(grep '^kind:' rendered.yaml | sort -u | wc -l)" -ge 15 ] || fail 'fewer kinds than the chart promises'
expect 'STATUS: deployed*shop says hello' h install shop "$CLIENTS/data/chart" --skip-crds --wait --timeout 120s
same '2 2' get '{.status.replicas} {.status.readyReplicas}' deploy/shop
same 1 get '{.status.readyReplicas}' sts/shop-store
same Complete get '{.status.conditions[?(@.type=="Complete")].type}' job/shop-before
same shop get '{.metadata.annotations.meta\.helm\.sh/release-name}' cm/shop
same Helm get '{.metadata.labels.app\.kubernetes\.io/managed-by}' svc/shop
same shop-token k get secret shop -o 'go-template={{.data.token | base64decode}}'
same helm.sh/release.v1 get '{.type}' secret/sh.helm.release.v1.shop.v1
refuse 'cannot re*use a name that is still in use' h install shop "$CLIENTS/data/chart" --skip-crds
# What another release owns, or nobody, is not taken.
run k create configmap plain
run k create configmap taken
mkdir -p small/templates
printf 'apiVersion: v2\nname: small\nversion: 0.1.0\n' >small/Chart.yaml
printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: taken}\ndata: {a: b}\n' >small/templates/taken.yaml
refuse 'ConfigMap "taken" in namespace "'"$NS"'" exists and cannot be imported into the current release' h install small small
expect 'STATUS: deployed' h install small small --take-ownership
same b get '{.data.a}' cm/taken
# A namespace of its own, and a dry run that the server sees.
expect 'STATUS: deployed' "$HELM" install small small --namespace "$NS-made" --create-namespace
run "$HELM" uninstall small --namespace "$NS-made"
run "$KUBECTL" delete namespace "$NS-made" --wait=false
expect 'kind: Deployment' h install dry "$CLIENTS/data/chart" --skip-crds --dry-run=server
refuse 'not found' k get deploy dry
