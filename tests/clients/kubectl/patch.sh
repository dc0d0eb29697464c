# patch: strategic, merge, json, of subresources, from files, and what is refused.
run k create -f "$CLIENTS/data/web.yaml"
expect 'deployment.apps/web patched' k patch deploy web -p '{"spec":{"template":{"spec":{"containers":[{"name":"app","image":"registry.example/web:2"}]}}}}'
same 'registry.example/web:2 MODE' get '{.spec.template.spec.containers[0].image} {.spec.template.spec.containers[0].env[*].name}' deploy/web
expect 'deployment.apps/web patched' k patch deploy web -p '{"spec":{"template":{"spec":{"containers":[{"name":"side","image":"registry.example/side:1"}]}}}}'
same 'side app' get '{.spec.template.spec.containers[*].name}' deploy/web
expect 'deployment.apps/web patched' k patch deploy web -p '{"spec":{"template":{"spec":{"containers":[{"name":"side","$patch":"delete"}]}}}}'
same 'app' get '{.spec.template.spec.containers[*].name}' deploy/web
expect 'patched (no change)' k patch cm web -p '{"data":{"colour":"blue"}}'
expect 'deployment.apps/web patched' k patch deploy web -p '{"spec":{"strategy":{"$retainKeys":["type"],"type":"Recreate"}}}'
same '{"type":"Recreate"}' get '{.spec.strategy}' deploy/web

expect 'configmap/web patched' k patch cm web --type=merge -p '{"data":{"greeting":null,"more":"x"}}'
same '{"colour":"blue","more":"x"}' get '{.data}' cm/web
expect 'configmap/web patched' k patch cm web --type=json -p '[{"op":"test","path":"/data/more","value":"x"},{"op":"replace","path":"/data/more","value":"y"},{"op":"add","path":"/metadata/annotations","value":{"a/b":"c"}}]'
refuse '' k patch cm web --type=json -p '[{"op":"test","path":"/data/more","value":"x"}]'
expect 'configmap/web patched' k patch cm web --type=json -p '[{"op":"remove","path":"/metadata/annotations/a~1b"}]'
same '{"colour":"blue","more":"y"}' get '{.data}' cm/web
refuse '' k patch cm web --type=json -p '[{"op":"remove","path":"/data/none"}]'
printf 'data:\n  fromfile: "yes"\n' >patch.yaml
expect 'configmap/web patched' k patch cm web --patch-file patch.yaml
same yes get '{.data.fromfile}' cm/web

# Subresources.
expect 'scale.autoscaling/web patched' k patch deploy web --subresource=scale --type=merge -p '{"spec":{"replicas":4}}'
same 4 get '{.spec.replicas}' deploy/web
expect 'patched' k patch deploy web --subresource=status --type=merge -p '{"status":{"conditions":[{"type":"Seen","status":"True","reason":"Test","message":"by a patch"}]}}'
expect 'configmap/web patched' k patch cm web --dry-run=server --type=merge -p '{"data":{"dry":"run"}}'
lacks dry get '{.data}' cm/web
expect 'local' k patch --local -f "$CLIENTS/data/web.yaml" --type=merge -p '{"metadata":{"labels":{"local":"local"}}}' -o yaml

refuse 'the object has been modified' k patch cm web --type=merge -p '{"metadata":{"resourceVersion":"1"}}'
refuse 'field is immutable' k patch deploy web --type=merge -p '{"spec":{"selector":{"matchLabels":{"app":"other"}}}}'
refuse 'configmaps "none" not found' k patch cm none --type=merge -p '{}'
refuse '' k patch cm web --type=merge -p '{"data":'
refuse 'Invalid value' k patch deploy web -p '{"spec":{"replicas":-1}}'
