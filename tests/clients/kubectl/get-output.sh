# get: every form of output.
run k create -f "$CLIENTS/data/web.yaml"
run k rollout status deploy/web --timeout=60s
expect 'NAME*READY*UP-TO-DATE*AVAILABLE*AGE*web*2/2' k get deploy
expect 'CONTAINERS*IMAGES*SELECTOR*app*registry.example/web:1*app=web' k get deploy -o wide
expect '"kind": "Deployment"' k get deploy web -o json
expect '"kind": "List"' k get deploy -o json
expect 'kind: Deployment' k get deploy web -o yaml
lacks managedFields k get deploy web -o yaml
expect managedFields k get deploy web -o yaml --show-managed-fields
same deployment.apps/web k get deploy -o name
same web k get deploy -o 'jsonpath={.items[*].metadata.name}'
printf '{.items[0].spec.replicas}' >path
same 2 k get deploy -o jsonpath-file=path
same 'web/2 ' k get deploy -o 'go-template={{range .items}}{{.metadata.name}}/{{.spec.replicas}} {{end}}'
printf '{{.metadata.name}}' >template
same web k get deploy web -o go-template-file=template
expect 'NAME*IMAGE*web*registry.example/web:1' k get deploy -o 'custom-columns=NAME:.metadata.name,IMAGE:.spec.template.spec.containers[*].image'
printf 'NAME REPLICAS\n.metadata.name .spec.replicas\n' >columns
expect 'REPLICAS*web*2' k get deploy -o custom-columns-file=columns
lacks NAME k get deploy --no-headers
expect 'LABELS*app=web' k get deploy --show-labels
expect 'APP*web' k get deploy -L app
expect 'deployment.apps/web' k get deploy --show-kind
expect 'configmap/web*service/web' k get cm,svc
expect 'deployment.apps/web' k get all
expect 'web' k get -f "$CLIENTS/data/web.yaml"
for name in c a b; do run k create configmap "$name" --from-literal=order="$name"; done
same 'a b c' bash -c "'$KUBECTL' -n '$NS' get cm --sort-by=.metadata.name -o name | sed 's/.*\///' | sed -n '/^[abc]$/p' | xargs"
run k get cm --sort-by=.metadata.creationTimestamp
expect 'a' k get cm --chunk-size=1
expect 'a' k get cm -A --chunk-size=3 -o name
refuse 'configmaps "none" not found' k get cm none
run k get cm none --ignore-not-found
expect 'No resources found' k get cronjobs
expect 'REFERENCE' bash -c "'$KUBECTL' -n '$NS' autoscale deploy web --max=3 --cpu-percent=50 && '$KUBECTL' -n '$NS' get hpa"
expect '"kind":"ConfigMapList"' k get --raw "/api/v1/namespaces/$NS/configmaps"
expect 'NotFound' bash -c "'$KUBECTL' get --raw /apis/none.example/v1 2>&1 || true"
expect '2' k get deploy web --subresource=scale
expect 'kind: Scale' k get deploy web --subresource=scale -o yaml
expect 'kind: Deployment' k get deploy web --subresource=status -o yaml
expect '"a"' k get cm a -o json --server-print=false
expect 'a' k get cm --server-print=false
