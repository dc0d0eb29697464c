# diff: exit 1 where something would change, 0 where not, and what it shows.
run k apply -f "$CLIENTS/data/web.yaml"
run k diff -f "$CLIENTS/data/web.yaml"
sed 's/greeting: hello/greeting: goodbye/; s/replicas: 2/replicas: 3/' "$CLIENTS/data/web.yaml" >changed.yaml
code=0; k diff -f changed.yaml >diff.txt 2>&1 || code=$?
same 1 echo $code
expect '-  greeting: hello*+  greeting: goodbye' cat diff.txt
expect '-  replicas: 2*+  replicas: 3' cat diff.txt
lacks 'managedFields' cat diff.txt
code=0; k diff --server-side -f changed.yaml --force-conflicts >diff.txt 2>&1 || code=$?
same 1 echo $code
expect '+  greeting: goodbye' cat diff.txt
# Nothing was written; an object that is not there shows whole; secrets stay masked.
same hello get '{.data.greeting}' cm/web
code=0; k diff -f - >diff.txt 2>&1 <<<'{"apiVersion":"v1","kind":"Secret","metadata":{"name":"new"},"stringData":{"password":"hunter2"}}' || code=$?
same 1 echo $code
expect '+kind: Secret' cat diff.txt
lacks 'hunter2' cat diff.txt
refuse 'the path "missing.yaml" does not exist' k diff -f missing.yaml
run k apply -f changed.yaml
run k diff -f changed.yaml
