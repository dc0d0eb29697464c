# Server-side apply: ownership, conflicts, taking over, giving up, and coming from client-side apply.
cat >settings.yaml <<'Y'
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {colour: blue, size: large}
Y
expect 'configmap/settings serverside-applied' k apply --server-side -f settings.yaml
same 'kubectl Apply' k get cm settings -o 'jsonpath={.metadata.managedFields[0].manager} {.metadata.managedFields[0].operation}' --show-managed-fields
rv=$(get '{.metadata.resourceVersion}' cm/settings)
run k apply --server-side -f settings.yaml
same "$rv" get '{.metadata.resourceVersion}' cm/settings

# Another manager: the same value is shared, another value is a conflict, which force settles.
expect 'serverside-applied' k apply --server-side --field-manager=painter -f - <<<'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"settings"},"data":{"colour":"blue"}}'
echo '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"settings"},"data":{"colour":"red"}}' >red.json
refuse 'Apply failed with 1 conflict: conflict with "kubectl": .data.colour' k apply --server-side --field-manager=painter -f red.json
said '`--force-conflicts` flag' || fail 'no word of --force-conflicts'
expect 'serverside-applied' k apply --server-side --field-manager=painter --force-conflicts -f red.json
same 'red' get '{.data.colour}' cm/settings
refuse 'conflict with "painter": .data.colour' k apply --server-side -f settings.yaml

# Giving a field up removes it when nobody else has it.
sed 's/colour: blue, //' settings.yaml >smaller.yaml
run k apply --server-side -f smaller.yaml
same '{"colour":"red","size":"large"}' get '{.data}' cm/settings
run k apply --server-side --field-manager=painter -f - <<<'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"settings"}}'
same '{"size":"large"}' get '{.data}' cm/settings

# An update takes fields from those who applied them.
run k patch cm settings --type=merge --field-manager=editor -p '{"data":{"size":"small"}}'
refuse 'conflict with "editor" using v1: .data.size' k apply --server-side -f settings.yaml
expect 'serverside-applied' k apply --server-side --force-conflicts -f settings.yaml

# From client-side apply: what was last applied is owned, what left the file goes.
cat >moving.yaml <<'Y'
apiVersion: v1
kind: ConfigMap
metadata: {name: moving}
data: {first: "1", second: "2"}
Y
run k apply -f moving.yaml
sed -i 's/, second: "2"//' moving.yaml
expect 'configmap/moving serverside-applied' k apply --server-side -f moving.yaml
same '{"first":"1"}' get '{.data}' cm/moving
expect 'kubectl-last-applied' k get cm moving -o 'jsonpath={.metadata.managedFields[*].manager}' --show-managed-fields
lacks 'Update' k get cm moving -o 'jsonpath={.metadata.managedFields[*].operation}' --show-managed-fields
# And back: client-side apply still finds its annotation up to date.
lacks 'first' k apply -f - <<<'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"moving"},"data":{"third":"3"}}'
same '{"third":"3"}' get '{.data}' cm/moving

# Lists by key: two owners of two containers of one pod template.
pod() { echo '{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"shared"},"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"'"$1"'","image":"'"$2"'"}]}}}}'; }
pod one registry.example/one:1 | run k apply --server-side --field-manager=first -f -
pod two registry.example/two:1 | run k apply --server-side --field-manager=second -f -
same 'one two' get '{.spec.template.spec.containers[*].name}' deploy/shared
pod two registry.example/two:2 | run k apply --server-side --field-manager=second -f -
same 'registry.example/one:1 registry.example/two:2' get '{.spec.template.spec.containers[*].image}' deploy/shared
expect 'serverside-applied (server dry run)' k apply --server-side --dry-run=server -f settings.yaml

# What an apply may not be.
refuse 'metadata.managedFields must be nil' k apply --server-side -f - <<<'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"settings","managedFields":[{"manager":"x","operation":"Apply","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{}}]}}'
refuse 'field not declared in schema' k apply --server-side --validate=ignore -f - <<<'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"settings"},"dada":{}}'
