# scale and autoscale.
run k create -f "$CLIENTS/data/web.yaml"
expect 'deployment.apps/web scaled' k scale deploy/web --replicas=3
same 3 get '{.spec.replicas}' deploy/web
expect 'deployment.apps/web scaled' k scale --current-replicas=3 --replicas=1 deploy/web
refuse 'Expected replicas to be 3, was 1' k scale --current-replicas=3 --replicas=2 deploy/web
expect 'deployment.apps/web scaled (server dry run)' k scale --dry-run=server --replicas=7 deploy/web
same 1 get '{.spec.replicas}' deploy/web
run k rollout status deploy/web --timeout=60s
expect 'statefulset.apps/set created' k create -f - <<<'{"apiVersion":"apps/v1","kind":"StatefulSet","metadata":{"name":"set"},"spec":{"replicas":1,"serviceName":"set","selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"registry.example/c:1"}]}}}}'
expect 'statefulset.apps/set scaled' k scale sts set --replicas=2
expect 'replicaset.apps/rs created' k create -f - <<<'{"apiVersion":"apps/v1","kind":"ReplicaSet","metadata":{"name":"rs"},"spec":{"replicas":1,"selector":{"matchLabels":{"r":"s"}},"template":{"metadata":{"labels":{"r":"s"}},"spec":{"containers":[{"name":"c","image":"registry.example/c:1"}]}}}}'
expect 'replicaset.apps/rs scaled' k scale rs/rs --replicas=0
expect 'replicationcontroller/rc created' k create -f - <<<'{"apiVersion":"v1","kind":"ReplicationController","metadata":{"name":"rc"},"spec":{"replicas":1,"selector":{"r":"c"},"template":{"metadata":{"labels":{"r":"c"}},"spec":{"containers":[{"name":"c","image":"registry.example/c:1"}]}}}}'
expect 'replicationcontroller/rc scaled' k scale rc/rc --replicas=2
same 2 get '{.spec.replicas}' rc/rc
refuse 'the server could not find the requested resource' k scale --replicas=1 configmap/web

expect 'horizontalpodautoscaler.autoscaling/web autoscaled' k autoscale deploy web --min=2 --max=5 --cpu-percent=80
same '2 5 web' get '{.spec.minReplicas} {.spec.maxReplicas} {.spec.scaleTargetRef.name}' hpa/web
refuse 'failed to create' k autoscale deploy web --max=5
expect 'autoscaled (server dry run)' k autoscale rs/rs --name=dry --min=1 --max=2 --dry-run=server
expect 'Deployment/web' k get hpa web
