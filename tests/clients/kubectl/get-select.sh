# Selectors of labels and fields.
run k create -f "$CLIENTS/data/web.yaml"
run k rollout status deploy/web --timeout=60s
for name in a b c; do run k create configmap "$name"; done
run k label cm a b tier=front
run k label cm c tier=back
names() { k get cm -o name "$@" | sed 's/.*\///' | sed -n '/^[abc]$/p' | xargs; }
same 'a b' names -l tier=front
same 'c' names -l tier!=front,tier
same 'a b c' names -l 'tier in (front, back)'
same 'c' names -l 'tier notin (front),tier'
same '' names -l '!tier'
same 'a b c' names -l tier
same 'configmap/a' k get cm --field-selector=metadata.name=a -o name
same 'b c' names --field-selector=metadata.name!=a
refuse '"data.x" is not a known field selector' k get cm --field-selector=data.x=1
refuse 'unable to parse requirement' k get cm -l 'tier in front'
same 2 bash -c "'$KUBECTL' -n '$NS' get pods --field-selector=status.phase=Running -o name | wc -l"
same 0 bash -c "'$KUBECTL' -n '$NS' get pods --field-selector=status.phase=Failed -o name | wc -l"
run k get pods --field-selector=spec.restartPolicy=Always,spec.schedulerName!=other
run k get secrets --field-selector=type=Opaque
run k get events --field-selector=involvedObject.kind=Deployment,reason!=None
run k get namespaces --field-selector=status.phase=Active
run k get nodes --field-selector=spec.unschedulable=false
run k create job once --image=registry.example/once:1
run k get jobs --field-selector=status.successful!=5
node=$(k get pods -l app=web -o 'jsonpath={.items[0].spec.nodeName}')
expect 'web' k get pods -A --field-selector="spec.nodeName=$node,metadata.namespace=$NS"
