# APIServices: one for every group version that is served here, all available; those of custom kinds come and go.
group=$NS.example.com
expect 'NAME*SERVICE*AVAILABLE*AGE' k get apiservices
expect 'v1.apps*Local*True' k get apiservice v1.apps
same 0 bash -c "'$KUBECTL' get apiservices -l kube-aggregator.kubernetes.io/automanaged --no-headers | grep -vcE ' Local +True ' || true"
run k wait --for=condition=Available apiservices/v1. apiservices/v1.apps apiservices/v2.autoscaling --timeout=30s
same 'Local: Local APIServices are always available' k get apiservice v1.batch \
    -o 'jsonpath={.status.conditions[0].reason}: {.status.conditions[0].message}'
same '17800 15 onstart' k get apiservice v1.apps -o \
    'jsonpath={.spec.groupPriorityMinimum} {.spec.versionPriority} {.metadata.labels.kube-aggregator\.kubernetes\.io/automanaged}'
expect 'Reason:*Local' k describe apiservice v1.apps
expect 'KIND:*APIService' k explain apiservices
expect 'insecureSkipTLSVerify*<boolean>' k explain apiservices.spec
expect 'port*<integer>' k explain apiservices.spec.service
expect 'apiservices*apiregistration.k8s.io/v1*false*APIService' k api-resources --api-group=apiregistration.k8s.io
sed "s/greetings.example.com/greetings.$group/; s/group: example.com/group: $group/" "$CLIENTS/data/greetings.yaml" >definition.yaml
run k apply -f definition.yaml
within 20 k get apiservice "v1.$group"
same '1000 100 true' k get apiservice "v1.$group" -o \
    'jsonpath={.spec.groupPriorityMinimum} {.spec.versionPriority} {.metadata.labels.kube-aggregator\.kubernetes\.io/automanaged}'
run k delete -f definition.yaml --timeout=60s
within 20 bash -c "! '$KUBECTL' get apiservice 'v1.$group'"
service() {
    cat <<YAML
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: $1}
spec:
  group: $group
  version: v1alpha1
  groupPriorityMinimum: $2
  versionPriority: 200
  insecureSkipTLSVerify: true
  service: {namespace: $NS, name: api}
YAML
}
# Only tried: an API that nobody answers for would be missed by everybody who asks for all of them.
expect 'created (server dry run)' k create --dry-run=server -f - <<<"$(service "v1alpha1.$group" 2000)"
service "v1alpha1.$group" 2000 | k create --dry-run=server -o yaml -f - >tried.yaml
grep -q 'port: 443' tried.yaml || fail "the port is not filled in"
service "v1.$group" 2000 >bad.yaml
refuse 'metadata.name: Invalid value: "v1.'"$group"'": must be `spec.version+"."+spec.group`' k create -f bad.yaml
service "v1alpha1.$group" 20001 >bad.yaml
refuse 'spec.groupPriorityMinimum: Invalid value: 20001: must be positive and less than 20000' k create -f bad.yaml
service "v1alpha1.$group" 2000 | sed 's/  service: .*/  caBundle: YWI=/' >bad.yaml
refuse 'spec.caBundle: Invalid value: "2 bytes": local APIServices may not have a caBundle' k create -f bad.yaml
