# Client-side apply: create, no change, three-way merge, removal of what the file no longer says.
expect 'deployment.apps/web created*service/web created*configmap/web created' k apply -f "$CLIENTS/data/web.yaml"
expect 'deployment.apps/web unchanged*service/web unchanged*configmap/web unchanged' k apply -f "$CLIENTS/data/web.yaml"
expect '"colour":"blue"' get '{.metadata.annotations.kubectl\.kubernetes\.io/last-applied-configuration}' cm/web

# Somebody else's field stays, ours changes, what left the file goes.
run k patch configmap web --type=merge -p '{"data":{"other":"theirs"}}'
sed 's/greeting: hello, colour: blue/greeting: goodbye/' "$CLIENTS/data/web.yaml" >changed.yaml
expect 'configmap/web configured' k apply -f changed.yaml
same '{"greeting":"goodbye","other":"theirs"}' get '{.data}' cm/web

# Lists with merge keys: one environment variable and one port more.
sed 's/env: \[/env: [{name: EXTRA, value: "1"}, /; s/ports: \[{containerPort/ports: [{containerPort: 9090, name: admin}, {containerPort/' \
    "$CLIENTS/data/web.yaml" >lists.yaml
expect 'deployment.apps/web configured' k apply -f lists.yaml
same 'EXTRA MODE' get '{.spec.template.spec.containers[0].env[*].name}' deploy/web
same '9090 8080' get '{.spec.template.spec.containers[0].ports[*].containerPort}' deploy/web
expect 'deployment.apps/web configured' k apply -f "$CLIENTS/data/web.yaml"
same 'MODE' get '{.spec.template.spec.containers[0].env[*].name}' deploy/web

# Dry runs change nothing.
expect 'deployment.apps/web configured (server dry run)' k apply --dry-run=server -f lists.yaml
expect 'deployment.apps/web configured (dry run)' k apply --dry-run=client -f lists.yaml
same 'MODE' get '{.spec.template.spec.containers[0].env[*].name}' deploy/web

# Fields that do not exist are refused, and let through where that is asked for.
sed 's/replicas: 2/replicas: 2\n  replicaz: 3/' "$CLIENTS/data/web.yaml" >unknown.yaml
refuse 'unknown field "spec.replicaz"' k apply -f unknown.yaml
expect 'Warning: unknown field "spec.replicaz"' k apply --validate=warn -f unknown.yaml
lacks 'replicaz' k apply --validate=ignore -f unknown.yaml
refuse 'spec.selector' k apply -f - <<<'{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"none"},"spec":{"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}'

# The annotation's own verbs.
expect 'greeting' k apply view-last-applied configmap/web
run k create configmap late --from-literal=a=1
echo '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"late"},"data":{"a":"1"}}' >late.json
refuse 'no last-applied-configuration annotation found on resource: late' k apply set-last-applied -f late.json
expect 'configmap/late configured' k apply set-last-applied --create-annotation -f late.json
expect 'a: "1"' k apply view-last-applied configmap/late

# A resourceVersion in the file is held against the server's.
k get configmap web -o yaml >stale.yaml
run k annotate configmap web moved=on
refuse 'the object has been modified' k replace -f stale.yaml
run k delete -f "$CLIENTS/data/web.yaml"
