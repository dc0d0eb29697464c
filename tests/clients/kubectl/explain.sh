# explain: from what the server publishes, in both of its forms.
expect 'KIND:*Deployment*VERSION:*v1*FIELDS:*spec*DeploymentSpec' k explain deployments
expect 'replicas*integer' k explain deploy.spec.replicas
expect 'containers*livenessProbe*exec*command' k explain pods --recursive
expect 'HorizontalPodAutoscaler*metrics' k explain hpa.spec --api-version=autoscaling/v2
expect 'GROUP:*networking.k8s.io' k explain ingress.spec.rules.http.paths
expect 'KIND:*Deployment' k explain deployments -o plaintext-openapiv2
expect 'template' k explain deployments.spec --recursive -o plaintext-openapiv2
refuse 'field "nothing" does not exist' k explain pods.spec.nothing
refuse "doesn't have a resource type" k explain nothings
refuse "" k explain deployments --api-version=apps/v9
# Every kind that can be listed can be explained; the versions of older days are only written.
k api-resources --no-headers --verbs=list >kinds
while read -r name rest; do
    expect 'KIND:' k explain "$name" --api-version="$(echo "$rest" | awk '{print $(NF-2)}')"
done <kinds
