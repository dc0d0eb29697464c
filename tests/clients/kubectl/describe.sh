# describe: one object of many kinds, and every listable kind that the server has.
run k create -f "$CLIENTS/data/web.yaml"
run k rollout status deploy/web --timeout=60s
expect 'Name:*web*Replicas:*2 desired*2 available*Pod Template:*registry.example/web:1' k describe deploy web
expect 'Type:*ClusterIP*Endpoints:' k describe svc web
expect 'Data*greeting*hello' k describe cm web
run k describe pods
said 'Containers:' || fail 'no containers'
run k describe rs
run k create secret generic plain --from-literal=a=b
expect 'Type:*Opaque*a:*1 bytes' k describe secret plain
run k create ingress web --rule='web.example/=web:80'
expect 'Host*Path*Backends*web.example' k describe ingress web
run k create job once --image=registry.example/once:1
expect 'Parallelism:*1' k describe job once
run k create cronjob nightly --image=registry.example/n:1 --schedule='0 3 * * *'
expect 'Schedule:*0 3 * * *' k describe cronjob nightly
run k autoscale deploy web --max=3 --cpu-percent=50
expect 'Min replicas:*Max replicas:*3' k describe hpa web
run k create pdb web --selector=app=web --min-available=1
expect 'Min available:*1' k describe pdb web
run k create role reader --verb=get --resource=pods
expect 'PolicyRule:*pods*[get]' k describe role reader
run k create rolebinding reader --role=reader --user=jane
expect 'Subjects:*User*jane' k describe rolebinding reader
run k create quota count --hard=configmaps=100
expect 'Resource*Used*Hard*configmaps' k describe quota count
expect 'Status:*Active*Resource Quotas' k describe namespace "$NS"
expect 'Image pull secrets:' k describe sa default
run k describe node
said 'Capacity:' || fail 'no capacity'
run k create -f - <<<'{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"deny"},"spec":{"podSelector":{},"policyTypes":["Ingress"]}}'
expect 'PodSelector:*<none>' k describe netpol deny
# Whatever can be listed can be described.
k api-resources --verbs=list,get -o name >names
while read -r name; do
    only=()
    # Those of others are on their way out while kubectl asks for one after the other.
    [ "$name" != namespaces ] || only=(-l "kubernetes.io/metadata.name=$NS")
    run k describe "$name" "${only[@]}" --chunk-size=50
done <names
refuse 'not found' k describe deploy none
