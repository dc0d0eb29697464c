# api-resources, api-versions, cluster-info, version, completion of live names.
expect 'deployments*deploy*apps/v1*true*Deployment' k api-resources
expect 'create,delete,deletecollection,get,list,patch,update,watch' k api-resources -o wide --api-group=apps
expect 'configmaps' k api-resources --namespaced=true -o name
lacks 'namespaces' k api-resources --namespaced=true -o name
expect 'clusterroles' k api-resources --namespaced=false --verbs=list,get --sort-by=kind
expect 'pods*services' k api-resources --categories=all
run k api-resources --cached
expect 'apps/v1*v1' k api-versions
expect 'is running at https://' k cluster-info
expect 'Server Version: v1.37' k version
expect '"gitVersion": "v1.37' k version -o json
run k cluster-info dump --namespaces "$NS" --output-directory=dump
expect 'kind' cat "dump/$NS/services.json"
run k create configmap complete-me
same complete-me bash -c "'$KUBECTL' __complete -n '$NS' get configmap compl 2>/dev/null | head -1"
expect deployments.apps bash -c "'$KUBECTL' __complete get deploym 2>/dev/null"
same "$NS" bash -c "'$KUBECTL' __complete get pods -n '$NS' 2>/dev/null | grep -x '$NS'"
expect 'complete' k completion bash
expect 'ok' k get --raw /readyz
expect '[+]ping ok' k get --raw '/livez?verbose'
expect '"paths"' k get --raw /
expect '"openapi"' k get --raw /openapi/v3/apis/apps/v1
expect 'apiserver_request_total' k get --raw /metrics
