# auth: can-i for oneself and others, the list, whoami, reconcile.
same yes k auth can-i create pods
same yes k auth can-i '*' '*' --all-namespaces
expect no bash -c "'$KUBECTL' -n '$NS' auth can-i delete secrets --as=nobody 2>&1 || true"
run k create role reader --verb=get,list --resource=configmaps --resource-name=web
run k create rolebinding reader --role=reader --user=jane
same yes k auth can-i get configmaps/web --as=jane
expect no bash -c "'$KUBECTL' -n '$NS' auth can-i get configmaps/other --as=jane 2>&1 || true"
expect 'configmaps*[web]*[get list]' k auth can-i --list --as=jane
expect 'selfsubjectreviews.authentication.k8s.io' k auth can-i --list --as=jane
same yes k auth can-i get /healthz
same yes k auth can-i get pods --subresource=log
expect 'Username' k auth whoami
expect 'jane*devs' k auth whoami --as=jane --as-group=devs
expect '"username": "jane"' k auth whoami --as=jane -o json
refuse 'configmaps is forbidden: User "jane" cannot list resource "configmaps" in API group "" in the namespace' k get cm --as=jane
refuse 'configmaps "other" is forbidden: User "jane" cannot get resource "configmaps" in API group "" in the namespace' k get cm other --as=jane
cat >rules.yaml <<Y
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader, namespace: $NS}
rules: [{apiGroups: [""], resources: [secrets], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader, namespace: $NS}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: User, name: joe, apiGroup: rbac.authorization.k8s.io}]
Y
expect 'role.rbac.authorization.k8s.io/reader reconciled*rolebinding.rbac.authorization.k8s.io/reader reconciled' k auth reconcile -f rules.yaml
same 'jane joe' get '{.subjects[*].name}' rolebinding/reader
same 'configmaps secrets' get '{.rules[*].resources[*]}' role/reader
run k auth reconcile -f rules.yaml --remove-extra-subjects --remove-extra-permissions
same 'joe secrets' echo "$(get '{.subjects[*].name}' rolebinding/reader) $(get '{.rules[*].resources[*]}' role/reader)"
# A service account's token gets in, and is nobody else.
run k create serviceaccount robot
token=$(k create token robot)
with_token "$token"
expect "system:serviceaccount:$NS:robot" k auth whoami --kubeconfig tokened
refuse 'is forbidden: User "system:serviceaccount:'"$NS"':robot" cannot list resource "secrets"' k get secrets --kubeconfig tokened
refuse 'Unauthorized' k auth whoami --kubeconfig tokened --token="${token%?????}wrong"
