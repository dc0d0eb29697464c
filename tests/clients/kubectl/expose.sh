# expose and run.
run k create -f "$CLIENTS/data/web.yaml"
expect 'service/front exposed' k expose deploy web --name=front --port=80 --target-port=8080
same 'web 8080' get '{.spec.selector.app} {.spec.ports[0].targetPort}' svc/front
expect 'service/again exposed' k expose service web --name=again --port=443 --target-port=https --type=NodePort
same NodePort get '{.spec.type}' svc/again
refuse 'already exists' k expose deploy web --name=front --port=80
expect 'service/dry exposed (server dry run)' k expose deploy web --name=dry --port=80 --dry-run=server
refuse 'cannot expose' k expose configmap web --port=80

expect 'pod/single created' k run single --image=registry.example/single:1 --port=8080 --labels=run=single,a=b --env=A=1 --expose
expect 'condition met' k wait --for=condition=Ready pod/single --timeout=60s
same 'single 8080' get '{.spec.selector.run} {.spec.ports[0].port}' svc/single
same '1 Always' get '{.spec.containers[0].env[0].value} {.spec.restartPolicy}' pod/single
expect 'pod/never created (server dry run)' k run never --image=x --restart=Never --dry-run=server
expect 'pod/over created' k run over --image=registry.example/o:1 --overrides='{"spec":{"terminationGracePeriodSeconds":3}}'
same 3 get '{.spec.terminationGracePeriodSeconds}' pod/over
expect 'service/front-pod exposed' k expose pod single --name=front-pod --port=80
run k delete pod single over --timeout=60s
