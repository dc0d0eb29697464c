# cordon, uncordon, drain, taint: nodes are the members' own.
node=$(k get nodes -o 'jsonpath={.items[0].metadata.name}')
[ -n "$node" ] || fail 'no nodes'
run k describe node "$node"
run k cordon "$node" --dry-run=client
