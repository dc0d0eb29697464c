# Custom resources: definition, every verb on its objects, and the end of both.
group=$NS.example.com
sed "s/greetings.example.com/greetings.$group/; s/group: example.com/group: $group/" "$CLIENTS/data/greetings.yaml" >definition.yaml
run "$KUBECTL" delete -f definition.yaml --ignore-not-found
expect 'customresourcedefinition.apiextensions.k8s.io/greetings.'"$group"' created' k apply -f definition.yaml
run k wait --for=condition=Established "crd/greetings.$group" --timeout=30s
greeting() { echo '{"apiVersion":"'"$group"'/v1","kind":"Greeting","metadata":{"name":"hi"},"spec":{"text":"'"$1"'"}}'; }
greeting hello >hi.json
within 20 k create -f hi.json
expect 'NAME*TEXT*hi*hello' k get "greetings.$group"
expect 'greetings' k api-resources --api-group="$group"
within 20 bash -c "'$KUBECTL' explain 'greetings' --api-version='$group/v1' --recursive | grep text"
greeting goodbye >bye.json
expect 'greeting.'"$group"'/hi configured' k apply -f bye.json
expect 'patched' k patch "greetings.$group" hi --type=merge -p '{"spec":{"text":"again"}}'
refuse 'strategic' k patch "greetings.$group" hi --type=strategic -p '{"spec":{"text":"again"}}'
expect 'serverside-applied' k apply --server-side --force-conflicts -f hi.json
same hello get '{.spec.text}' "greetings.$group/hi"
refuse 'spec.text: Invalid value' k patch "greetings.$group" hi --type=merge -p '{"spec":{"text":""}}'
refuse 'spec.text: Required value' k create -f - <<<'{"apiVersion":"'"$group"'/v1","kind":"Greeting","metadata":{"name":"none"},"spec":{}}'
refuse 'unknown field "spec.loud"' k create -f - <<<'{"apiVersion":"'"$group"'/v1","kind":"Greeting","metadata":{"name":"none"},"spec":{"text":"x","loud":true}}'
expect 'patched' k patch "greetings.$group" hi --subresource=status --type=merge -p '{"status":{"said":3}}'
same 3 get '{.status.said}' "greetings.$group/hi"
expect 'Text:*hello' k describe "greetings.$group" hi
expect 'labeled' k label "greetings.$group" hi a=b
expect 'hi' k get "greetings.$group" -l a=b -o name
run k delete "greetings.$group" hi
run k create -f hi.json
expect 'deleted' k delete -f definition.yaml --timeout=60s
refuse "doesn't have a resource type" k get "greetings.$group"
