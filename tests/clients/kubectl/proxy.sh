# proxy: plain HTTP on this side, watches and writes included.
k proxy --port=0 >proxy.log 2>&1 &
within 10 grep -q 'Starting to serve on' proxy.log
url=http://$(grep -o '127.0.0.1:[0-9]*' proxy.log)
expect '"major"' curl -sS "$url/version"
expect '"ConfigMapList"' curl -sS "$url/api/v1/namespaces/$NS/configmaps"
expect '"name": "posted"' curl -sS -H 'Content-Type: application/json' -d '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"posted"}}' "$url/api/v1/namespaces/$NS/configmaps"
expect '"type":"ADDED"*posted' curl -sS "$url/api/v1/namespaces/$NS/configmaps?watch=1&timeoutSeconds=1&fieldSelector=metadata.name%3Dposted"
expect 'Success' curl -sS -X DELETE "$url/api/v1/namespaces/$NS/configmaps/posted"
expect '404' curl -sS "$url/api/v1/namespaces/$NS/configmaps/posted"
same 403 curl -sS -o refused -w '%{http_code}' "$url/api/v1/namespaces/$NS/pods/x/exec?command=ls"
