# rollout: status, history, undo, restart, pause, resume, for each kind that rolls.
run k create -f "$CLIENTS/data/web.yaml"
expect 'deployment "web" successfully rolled out' k rollout status deploy/web --timeout=60s
run k annotate deploy/web kubernetes.io/change-cause='the first'
run k set image deploy/web app=registry.example/web:2
run k annotate deploy/web --overwrite kubernetes.io/change-cause='the second'
expect 'successfully rolled out' k rollout status deploy/web --timeout=60s
within 20 bash -c "'$KUBECTL' -n '$NS' rollout history deploy/web | grep -q '^2 *the second'"
expect '1 *the first*2 *the second' k rollout history deploy/web
expect 'registry.example/web:1' k rollout history deploy/web --revision=1
expect 'deployment.apps/web rolled back' k rollout undo deploy/web
same registry.example/web:1 get '{.spec.template.spec.containers[0].image}' deploy/web
expect 'successfully rolled out' k rollout status deploy/web --timeout=60s
within 20 bash -c "'$KUBECTL' -n '$NS' rollout history deploy/web | grep -q '^3 '"
expect 'rolled back' k rollout undo deploy/web --to-revision=2
same registry.example/web:2 get '{.spec.template.spec.containers[0].image}' deploy/web
refuse 'unable to find' k rollout undo deploy/web --to-revision=99
expect 'deployment.apps/web restarted' k rollout restart deploy/web
expect 'T' get '{.spec.template.metadata.annotations.kubectl\.kubernetes\.io/restartedAt}' deploy/web
expect 'successfully rolled out' k rollout status deploy/web --timeout=60s
expect 'deployment.apps/web paused' k rollout pause deploy/web
refuse 'already paused' k rollout pause deploy/web
refuse "can't restart paused deployment" k rollout restart deploy/web
expect 'deployment.apps/web resumed' k rollout resume deploy/web

# Kinds whose revisions are ControllerRevisions.
for kind in StatefulSet DaemonSet; do
    short=$(echo "$kind" | tr '[:upper:]' '[:lower:]')
    service=; [ "$kind" = StatefulSet ] && service='"serviceName":"x",'
    run k create -f - <<<'{"apiVersion":"apps/v1","kind":"'"$kind"'","metadata":{"name":"roll"},"spec":{'"$service"'"selector":{"matchLabels":{"k":"'"$short"'"}},"template":{"metadata":{"labels":{"k":"'"$short"'"}},"spec":{"containers":[{"name":"c","image":"registry.example/c:1"}]}}}}'
    run k rollout status "$short/roll" --timeout=60s
    run k set image "$short/roll" c=registry.example/c:2
    run k rollout status "$short/roll" --timeout=60s
    within 20 bash -c "'$KUBECTL' -n '$NS' rollout history $short/roll | grep -q '^2 '"
    expect 'registry.example/c:1' k rollout history "$short/roll" --revision=1
    expect 'rolled back' k rollout undo "$short/roll"
    same registry.example/c:1 get '{.spec.template.spec.containers[0].image}' "$short/roll"
    expect 'restarted' k rollout restart "$short/roll"
    run k rollout status "$short/roll" --timeout=60s
done
refuse 'error retrieving rollbacker' k rollout undo configmap/web
