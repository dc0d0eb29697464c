# kustomize, and -k of the verbs that take files.
mkdir -p base over
cp "$CLIENTS/data/web.yaml" base/
printf 'resources: [web.yaml]\nconfigMapGenerator: [{name: generated, literals: [a=1]}]\n' >base/kustomization.yaml
printf 'resources: [../base]\nnamePrefix: over-\nlabels: [{pairs: {layer: over}}]\nreplicas: [{name: web, count: 1}]\nimages: [{name: registry.example/web, newTag: "9"}]\n' >over/kustomization.yaml
expect 'name: over-web*registry.example/web:9' k kustomize over
expect 'deployment.apps/over-web created' k apply -k over
same '1 over registry.example/web:9' get '{.spec.replicas} {.metadata.labels.layer} {.spec.template.spec.containers[0].image}' deploy/over-web
expect 'deployment.apps/over-web unchanged' k apply -k over
expect 'over-web' k get -k over
run k diff -k over
expect 'deployment.apps/over-web serverside-applied' k apply --server-side --force-conflicts -k over
expect 'deleted' k delete -k over
