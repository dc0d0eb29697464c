# delete: one, by file, by selector, all, with every cascade, waiting, forced, dry, and what is not there.
run k create -f "$CLIENTS/data/web.yaml"
expect 'configmap "web" deleted' k delete configmap web
refuse 'configmaps "web" not found' k delete configmap web
run k delete configmap web --ignore-not-found
expect 'deployment.apps "web" deleted*service "web" deleted' k delete -f "$CLIENTS/data/web.yaml" --ignore-not-found
for name in a b c; do run k create configmap "$name"; done
run k label configmap a b colour=red
expect 'deleted' k delete configmap -l colour=red
same 'c kube-root-ca.crt' get '{.items[*].metadata.name}' configmap
expect 'configmap "c" deleted*(server dry run)' k delete configmap c --dry-run=server
expect 'configmap "c" deleted*configmap "kube-root-ca.crt" deleted' k delete configmap --all
within 20 k get configmap kube-root-ca.crt

# Owners and dependents: a dependent named by uid.
owned() {
    run k create configmap owner
    local uid; uid=$(get '{.metadata.uid}' cm/owner)
    run k create -f - <<<'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"dependent","ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"owner","uid":"'"$uid"'","blockOwnerDeletion":true}]}}'
}
owned
run k delete configmap owner --cascade=background
within 30 bash -c '! "$0" -n "$1" get configmap dependent' "$KUBECTL" "$NS"
owned
run k delete configmap owner --cascade=foreground --timeout=60s
refuse 'not found' k get configmap dependent
owned
run k delete configmap owner --cascade=orphan --timeout=60s
refuse 'not found' k get configmap owner
expect 'dependent' k get configmap dependent
same '' get '{.metadata.ownerReferences}' cm/dependent

# Finalizers keep it; --wait waits, --wait=false does not.
run k create -f - <<<'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"held","finalizers":["example.com/hold"]}}'
refuse 'timed out waiting for the condition' k delete configmap held --timeout=1s
expect 'configmap "held" deleted' k delete configmap held --wait=false
expect 'T' get '{.metadata.deletionTimestamp}' cm/held
run k patch configmap held --type=merge -p '{"metadata":{"finalizers":null}}'
within 10 bash -c '! "$0" -n "$1" get configmap held' "$KUBECTL" "$NS"

run k create -f "$CLIENTS/data/web.yaml"
expect 'deployment.apps "web"*deleted' k delete deploy,svc,cm -l app=web
run k create configmap raw
run k delete --raw "/api/v1/namespaces/$NS/configmaps/raw"
refuse 'not found' k get configmap raw
run k create configmap quick
expect 'force deleted' k delete configmap quick --grace-period=0 --force
refuse 'the server doesn'"'"'t have a resource type "nothings"' k delete nothings x
