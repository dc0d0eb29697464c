# replace: whole objects, the lock that a resourceVersion is, --force, and --save-config.
run k create -f "$CLIENTS/data/web.yaml"
run k rollout status deploy/web --timeout=60s
sed 's/greeting: hello, //' "$CLIENTS/data/web.yaml" >changed.yaml
expect 'deployment.apps/web replaced*service/web replaced*configmap/web replaced' k replace -f changed.yaml
same '{"colour":"blue"}' get '{.data}' cm/web
k get cm web -o json >stale.json
run k label cm web moved=on
refuse 'Operation cannot be fulfilled on configmaps "web": the object has been modified; please apply your changes to the latest version and try again' k replace -f stale.json
uid=$(get '{.metadata.uid}' cm/web)
expect 'configmap "web" deleted*configmap/web replaced' k replace --force --timeout=60s -f changed.yaml
[ "$(get '{.metadata.uid}' cm/web)" != "$uid" ] || fail 'it is still the same object'
refuse 'configmaps "none" not found' k replace -f - <<<'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"none"}}'
# Controllers write its status meanwhile: then it is read and replaced once more.
changed() { k get deploy web -o json | sed "$1" | k replace "${@:2}" -f -; }
within 30 changed 's/"replicas": 2/"replicas": 5/' --save-config
same 5 get '{.spec.replicas}' deploy/web
expect '"replicas":5' get '{.metadata.annotations.kubectl\.kubernetes\.io/last-applied-configuration}' deploy/web
expect 'configmap/web replaced (server dry run)' k replace --dry-run=server -f - <<<'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"web"}}'
same blue get '{.data.colour}' cm/web
# Subresources: the status alone.
within 30 changed 's/"replicas": 5/"replicas": 6/' --subresource=status
said 'deployment.apps/web replaced' || fail 'the status was not replaced'
same 5 get '{.spec.replicas}' deploy/web
# What cannot change, cannot be replaced.
immutable() { ! changed 's/"app": "web"/"app": "other"/' >refused 2>&1 && grep 'field is immutable' refused; }
within 30 immutable
run k replace --raw "/api/v1/namespaces/$NS/configmaps/web" -f - <<<'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"web"},"data":{"raw":"yes"}}'
same yes get '{.data.raw}' cm/web
