# apply --prune: by label and allowlist, and by applyset.
item() { printf -- '---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, labels: {set: %s}}\n' "$1" "$2"; }
{ item one x; item two x; } >both.yaml
item one x >one.yaml
expect 'configmap/one created*configmap/two created' k apply -f both.yaml
run k create configmap by-hand
run k label cm by-hand set=x
expect 'configmap/two pruned' k apply --prune -l set=x --prune-allowlist=core/v1/ConfigMap -f one.yaml
same 'by-hand one' bash -c "'$KUBECTL' -n '$NS' get cm -l set=x -o name | sed 's/.*\///' | xargs"

export KUBECTL_APPLYSET=true
{ item three why; item four why; } >both.yaml
item three why >one.yaml
expect 'configmap/three serverside-applied*configmap/four serverside-applied' k apply --server-side --prune --applyset=mine -f both.yaml
expect 'applyset.kubernetes.io/id' get '{.metadata.labels}' secret/mine
same 'ConfigMap' get '{.metadata.annotations.applyset\.kubernetes\.io/contains-group-kinds}' secret/mine
expect 'configmap/four pruned' k apply --server-side --prune --applyset=mine -f one.yaml
refuse 'not found' k get cm four
run k get cm three
run k create configmap parent
