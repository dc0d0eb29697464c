# edit with a script for an editor: a change, none, an invalid one, and the status subresource.
run k apply -f "$CLIENTS/data/web.yaml"
editor() { printf '#!/bin/sh\n%s\n' "$1" >editor; chmod +x editor; export KUBE_EDITOR="$PWD/editor"; }
editor 'sed -i "s/greeting: hello/greeting: edited/" "$1"'
expect 'configmap/web edited' k edit configmap web
same edited get '{.data.greeting}' cm/web
expect 'Edit cancelled, no changes made' k edit configmap web
editor 'sed -i "s/\"replicas\": 2/\"replicas\": 4/" "$1"'
expect '"replicas": 4' k edit deployment.v1.apps/web -o json
same 4 get '{.spec.replicas}' deploy/web
editor 'sed -i "s/replicas: 4/replicas: 1/" "$1"'
expect 'deployment.apps/web edited' k edit deploy web --save-config
expect '"replicas":1' get '{.metadata.annotations.kubectl\.kubernetes\.io/last-applied-configuration}' deploy/web
# Refused by the server: the editor opens again with the reason, and ends when nothing changes any more.
editor 'cp "$1" seen; grep -q "is invalid" "$1" || sed -i "s/replicas: 1/replicas: -1/" "$1"'
refuse 'Edit cancelled, no valid changes were saved' k edit deploy web
expect 'spec.replicas: Invalid value: -1: must be greater than or equal to 0' cat seen
editor 'sed -i "s/name: web$/name: other/" "$1"'
refuse '' k edit configmap web
# Several at once, and edit of last-applied.
editor 'sed -i "s/colour: blue/colour: green/; s/replicas: 1/replicas: 2/" "$1"'
expect 'deployment.apps/web edited*configmap/web edited' k edit deploy/web cm/web
editor 'sed -i "s/colour: blue/colour: black/" "$1"'
expect 'configmap/web edited' k apply edit-last-applied configmap/web
expect black k apply view-last-applied configmap/web
