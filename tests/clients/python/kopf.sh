# An operator of kopf: a custom resource in, a ConfigMap out, finalizers and status in between.
run "$KUBECTL" apply --server-side -f "$CLIENTS/data/greetings.yaml"
run "$KUBECTL" wait --for=condition=Established crd/greetings.example.com --timeout=30s
"$PYTHON" -m kopf run --namespace "$NS" "$CLIENTS/python/kopf-operator.py" >kopf.log 2>&1 &
run k create -f - <<<'{"apiVersion":"example.com/v1","kind":"Greeting","metadata":{"name":"hi"},"spec":{"text":"hello"}}'
reads hello 60 get '{.data.text}' cm/hi
reads hi 30 get '{.status.made.made}' greeting/hi
run k patch greeting hi --type=merge -p '{"spec":{"text":"goodbye"}}'
reads goodbye 30 get '{.data.text}' cm/hi
run k delete greeting hi --timeout=60s
expect 'goodbye hi' cat kopf.log
