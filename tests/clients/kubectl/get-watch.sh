# get -w: from now, with what there is, as a table and as objects, until the request's end.
run k create configmap first
timeout 20 "$KUBECTL" -n "$NS" get cm --watch >watched 2>&1 &
timeout 20 "$KUBECTL" -n "$NS" get cm --watch-only -o name >only 2>&1 &
timeout 20 "$KUBECTL" -n "$NS" get cm -w --output-watch-events --field-selector=metadata.name=second >events 2>&1 &
within 10 grep first watched
within 10 bash -c "'$KUBECTL' -n '$NS' create configmap probe-\$RANDOM && grep probe only"
run k create configmap second
run k label cm second a=b
run k delete cm second
within 10 grep second watched
within 10 grep configmap/second only
within 10 bash -c 'grep "^ADDED.*second" events && grep "^MODIFIED.*second" events && grep "^DELETED.*second" events'
lacks first cat only
expect 'NAME*DATA*AGE' cat watched
# A watch ends when the server was asked for that long.
run timeout 20 "$KUBECTL" get --raw "/api/v1/namespaces/$NS/configmaps?watch=1&timeoutSeconds=1"
said '"type":"ADDED"' || fail 'no state at the start'
