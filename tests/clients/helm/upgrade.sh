# upgrade and rollback: values change, hooks run, history grows, a failed upgrade goes back by itself.
run h install shop "$CLIENTS/data/chart" --skip-crds --no-hooks --wait --timeout 120s
expect 'REVISION: 2' h upgrade shop "$CLIENTS/data/chart" --skip-crds --set replicas=3,greeting=goodbye --wait --timeout 120s
same '3 3' get '{.spec.replicas} {.status.readyReplicas}' deploy/shop
same goodbye get '{.data.GREETING}' cm/shop
# The hook ran and went with its success.
refuse 'not found' k get job shop-after
expect 'REVISION: 3' h upgrade shop "$CLIENTS/data/chart" --skip-crds --reuse-values --set image=registry.example/shop:2 --wait --timeout 120s
same 'registry.example/shop:2 3' get '{.spec.template.spec.containers[0].image} {.spec.replicas}' deploy/shop
# Somebody's own label stays over an upgrade.
run k label deploy shop seen=by-hand
run h rollback shop 1 --wait --timeout 120s
same 'registry.example/shop:1 2 by-hand' get '{.spec.template.spec.containers[0].image} {.spec.replicas} {.metadata.labels.seen}' deploy/shop
same hello get '{.data.GREETING}' cm/shop
expect 'superseded*superseded*superseded*deployed*Rollback to 1' h history shop
refuse 'Invalid value' h upgrade shop "$CLIENTS/data/chart" --skip-crds --no-hooks --set broken=true --timeout 30s
expect 'failed' h history shop
refuse 'Invalid value' h upgrade shop "$CLIENTS/data/chart" --skip-crds --no-hooks --set broken=true,greeting=lost "$ATOMIC" --timeout 60s
expect 'Rollback to' h history shop
same hello get '{.data.GREETING}' cm/shop
refuse 'has no deployed releases' h upgrade none "$CLIENTS/data/chart" --skip-crds
expect 'Installing it now' h upgrade --install --skip-crds --no-hooks second "$CLIENTS/data/chart"
