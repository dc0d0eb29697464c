# A namespace: its account and root certificate come with it, and all of it goes.
run k create namespace "$NS-go"
within 10 "$KUBECTL" -n "$NS-go" get sa default
within 10 "$KUBECTL" -n "$NS-go" get cm kube-root-ca.crt
run "$KUBECTL" -n "$NS-go" create -f "$CLIENTS/data/web.yaml"
run "$KUBECTL" -n "$NS-go" create secret generic a
expect 'namespace "'"$NS-go"'" deleted' k delete namespace "$NS-go" --timeout=100s
refuse 'not found' k get namespace "$NS-go"
refuse 'not found' "$KUBECTL" -n "$NS-go" create configmap late
