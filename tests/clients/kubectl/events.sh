# events: of the namespace, of one object, by type, as they come.
run k create configmap web
uid=$(get '{.metadata.uid}' cm/web)
run k create -f - <<Y
apiVersion: v1
kind: Event
metadata: {name: one, namespace: $NS}
involvedObject: {kind: ConfigMap, name: web, namespace: $NS, apiVersion: v1, uid: $uid}
reason: Tested
message: by a script
type: Warning
firstTimestamp: $(date -u +%Y-%m-%dT%H:%M:%SZ)
lastTimestamp: $(date -u +%Y-%m-%dT%H:%M:%SZ)
count: 3
source: {component: script}
Y
run k create -f - <<Y
apiVersion: events.k8s.io/v1
kind: Event
metadata: {name: two, namespace: $NS}
regarding: {kind: ConfigMap, name: web, namespace: $NS, apiVersion: v1, uid: $uid}
reason: AlsoTested
action: Testing
note: by the newer kind
type: Normal
eventTime: $(date -u +%Y-%m-%dT%H:%M:%S.000000Z)
reportingController: example.com/script
reportingInstance: script-1
Y
expect 'Tested*AlsoTested' k events
expect 'Tested' k events --for configmap/web --types=Warning
lacks 'AlsoTested' k events --for configmap/web --types=Warning
expect 'LAST SEEN*TYPE*REASON*OBJECT*MESSAGE' k get events
expect 'configmap/web*by the newer kind' k get events.events.k8s.io
expect 'Tested' k events -A
expect 'by the newer kind' k get events -o json
expect 'Events:*Warning*Tested*by a script' k describe configmap web
timeout 15 "$KUBECTL" -n "$NS" events --watch >watched 2>&1 &
within 10 grep Tested watched
