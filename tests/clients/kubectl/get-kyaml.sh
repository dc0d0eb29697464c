# get -o kyaml.
case $CLIENT in kubectl-1.34) export KUBECTL_KYAML=true ;; esac
run k create -f "$CLIENTS/data/web.yaml"
expect 'kind: "ConfigMap"' k get cm web -o kyaml
k get cm web -o kyaml >back.yaml
run k replace -f back.yaml
