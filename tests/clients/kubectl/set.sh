# set: image, env, resources, selector, serviceaccount, subject.
run k create -f "$CLIENTS/data/web.yaml"
run k rollout status deploy/web --timeout=60s
expect 'deployment.apps/web image updated' k set image deploy/web app=registry.example/web:2
same registry.example/web:2 get '{.spec.template.spec.containers[0].image}' deploy/web
refuse 'unable to find container named "none"' k set image deploy/web none=x
expect 'image updated' k set image deployments --all '*=registry.example/web:3'
expect 'image updated (server dry run)' k set image deploy/web app=dry --dry-run=server
expect 'deployment.apps/web env updated' k set env deploy/web LEVEL=debug MODE-
same 'LEVEL=debug' bash -c "'$KUBECTL' -n '$NS' set env deploy/web --list | grep -v '^#'"
run k create configmap envs --from-literal=one=1
expect 'env updated' k set env deploy/web --from=configmap/envs --prefix=CM_
same 'envs' get '{.spec.template.spec.containers[0].env[?(@.name=="CM_ONE")].valueFrom.configMapKeyRef.name}' deploy/web
expect 'resource requirements updated' k set resources deploy/web --limits=cpu=200m,memory=64Mi --requests=cpu=100m
same '{"limits":{"cpu":"200m","memory":"64Mi"},"requests":{"cpu":"100m"}}' get '{.spec.template.spec.containers[0].resources}' deploy/web
expect 'serviceaccount updated' k set serviceaccount deploy/web default
same default get '{.spec.template.spec.serviceAccountName}' deploy/web
run k create service clusterip sel --tcp=80
expect 'selector updated' k set selector svc/sel app=web,tier=front
same '{"app":"web","tier":"front"}' get '{.spec.selector}' svc/sel
run k create role reader --verb=get --resource=pods
run k create rolebinding reader --role=reader --user=jane
expect 'subjects updated' k set subject rolebinding reader --user=joe --group=devs --serviceaccount="$NS:default"
same 'jane joe devs default' get '{.subjects[*].name}' rolebinding/reader
k get deploy web -o yaml >local.yaml
expect 'image: registry.example/local' k set image --local -f local.yaml app=registry.example/local -o yaml
run k create cronjob nightly --image=registry.example/n:1 --schedule='0 3 * * *'
expect 'image updated' k set image cronjob/nightly nightly=registry.example/n:2
