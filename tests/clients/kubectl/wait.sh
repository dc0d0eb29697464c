# wait: for conditions, JSONPath values, creation, deletion, and giving up in time.
run k create -f "$CLIENTS/data/web.yaml"
expect 'deployment.apps/web condition met' k wait --for=condition=Available deploy/web --timeout=60s
expect 'deployment.apps/web condition met' k wait --for=jsonpath='{.status.readyReplicas}'=2 deploy/web --timeout=60s
expect 'condition met' k wait --for=condition=Ready pods --selector=app=web --timeout=60s
expect 'configmap/web condition met' k wait --for=jsonpath='{.data.greeting}'=hello cm/web --timeout=10s
expect 'configmap/web condition met' k wait --for=jsonpath='{.data.colour}' cm/web --timeout=10s
refuse 'timed out waiting for the condition on configmaps/web' k wait --for=jsonpath='{.data.greeting}'=bye cm/web --timeout=1s
k wait --for=jsonpath='{.data.greeting}'=later cm/web --timeout=30s >waited 2>&1 &
waiter=$!
run k patch cm web --type=merge -p '{"data":{"greeting":"later"}}'
wait $waiter
expect 'condition met' cat waited

k wait --for=create cm/coming --timeout=30s >waited 2>&1 &
waiter=$!
run k create configmap coming
wait $waiter
expect 'configmap/coming condition met' cat waited
k wait --for=delete cm/coming --timeout=30s >waited 2>&1 &
waiter=$!
run k delete configmap coming
wait $waiter
run k wait --for=delete cm/coming --timeout=5s
refuse 'configmaps "none" not found' k wait --for=jsonpath='{.data.x}' cm/none --timeout=1s
refuse 'timed out' k wait --for=condition=Never deploy/web --timeout=1s
run k create job once --image=registry.example/job:1
expect 'job.batch/once condition met' k wait --for=condition=Complete job/once --timeout=60s
