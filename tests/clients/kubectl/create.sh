# create: every generator, and what each of them makes.
for kind in clusterrole clusterrolebinding priorityclass; do run k delete "$kind" "$NS" "$NS-agg" "$NS-url" --ignore-not-found; done
run k create clusterrole "$NS" --verb=get,list --resource=pods,deployments.apps --resource-name=a
same 'get list' k get clusterrole "$NS" -o 'jsonpath={.rules[0].verbs[*]}'
run k create clusterrole "$NS-agg" --aggregation-rule="rbac.example.com/$NS=yes"
run k create clusterrole "$NS-url" --verb=get --non-resource-url=/logs/*
run k create clusterrolebinding "$NS" --clusterrole="$NS" --user=jane --group=devs --serviceaccount="$NS:default"
same 'jane devs default' k get clusterrolebinding "$NS" -o 'jsonpath={.subjects[*].name}'
printf 'A=1\nB=2\n' >env; printf '\xff\xfe' >binary
run k create configmap literal --from-literal=a=1 --from-file=env --from-file=bin=binary
same '{"bin":"//4="}' get '{.binaryData}' cm/literal
run k create configmap env --from-env-file=env
same '{"A":"1","B":"2"}' get '{.data}' cm/env
expect 'configmap/hashed-' k create configmap hashed --from-literal=a=1 --append-hash
run k create cronjob nightly --image=registry.example/n:1 --schedule='0 3 * * *' -- echo hello
same '0 3 * * * echo' get '{.spec.schedule} {.spec.jobTemplate.spec.template.spec.containers[0].command[0]}' cronjob/nightly
run k create deployment web --image=registry.example/web:1 --replicas=2 --port=8080
same '2 8080' get '{.spec.replicas} {.spec.template.spec.containers[0].ports[0].containerPort}' deploy/web
run k create ingress web --class=ours --rule='web.example/a*=web:80' --rule='web.example/b=web:http,tls=web-tls' --default-backend=web:80 --annotation a=b
same 'Prefix Exact' get '{.spec.rules[0].http.paths[*].pathType}' ingress/web
run k create job once --image=registry.example/once:1
run k create job from-cron --from=cronjob/nightly
same nightly get '{.metadata.ownerReferences[0].name}' job/from-cron
run k create namespace "$NS-more"
run k delete namespace "$NS-more" --wait=false
run k create poddisruptionbudget web --selector=app=web --min-available=50%
same 50% get '{.spec.minAvailable}' pdb/web
run k create priorityclass "$NS" --value=100 --description=important --preemption-policy=Never
same '100 Never' k get priorityclass "$NS" -o 'jsonpath={.value} {.preemptionPolicy}'
run k create quota count --hard=configmaps=100,services=10 --scopes=
run k create role reader --verb=get --verb=watch --resource=pods/log,configmaps
run k create rolebinding reader --role=reader --user=jane
run k create rolebinding viewer --clusterrole=view --serviceaccount="$NS:default"
run k create secret generic plain --from-literal=user=admin --from-file=env --type=example.com/own
same example.com/own get '{.type}' secret/plain
run k create secret docker-registry pull --docker-server=registry.example --docker-username=u --docker-password=p --docker-email=e@example.com
same kubernetes.io/dockerconfigjson get '{.type}' secret/pull
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=web.example -keyout key.pem -out cert.pem -days 2 2>/dev/null
run k create secret tls web --cert=cert.pem --key=key.pem
same kubernetes.io/tls get '{.type}' secret/web
run k create service clusterip ci --tcp=80:8080 --tcp=443
same '80-8080 443' get '{.spec.ports[*].name}' svc/ci
run k create service clusterip headless --clusterip=None
same None get '{.spec.clusterIP}' svc/headless
run k create service externalname ext --external-name=example.com
same example.com get '{.spec.externalName}' svc/ext
run k create service loadbalancer lb --tcp=80
run k create service nodeport np --tcp=80:8080
same 'LoadBalancer NodePort' echo "$(get '{.spec.type}' svc/lb) $(get '{.spec.type}' svc/np)"
run k create serviceaccount robot
expect 'ey' k create token robot --audience=https://kubernetes.default.svc --duration=15m
run k create secret generic bound
expect 'ey' k create token robot --bound-object-kind=Secret --bound-object-name=bound
refuse 'serviceaccounts "none" not found' k create token none

# From files and standard input, dry, saved, edited, raw.
expect 'configmap/dry created (server dry run)' k create configmap dry --dry-run=server
refuse 'not found' k get configmap dry
expect 'kind: ConfigMap' k create configmap dry --from-literal=a=1 --dry-run=client -o yaml
expect 'last-applied-configuration' k create configmap saved --from-literal=a=1 --save-config -o yaml
refuse 'configmaps "saved" already exists' k create configmap saved
expect 'raw' k create --raw "/api/v1/namespaces/$NS/configmaps" -f - <<<'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"raw"}}'
expect 'configmap/made-' k create -f - <<<'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"generateName":"made-"}}'
refuse 'unknown field "spek"' k create -f - <<<'{"apiVersion":"v1","kind":"Service","metadata":{"name":"x"},"spek":{}}'
refuse 'namespaces "not-there" not found' "$KUBECTL" -n not-there create configmap x
refuse 'Invalid value' k create configmap Capital
run k delete clusterrole,clusterrolebinding "$NS" --ignore-not-found
run k delete clusterrole "$NS-agg" "$NS-url" --ignore-not-found
run k delete priorityclass "$NS"
