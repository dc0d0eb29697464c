# test: the chart's test pod runs to its end; its log is asked for.
run h install shop "$CLIENTS/data/chart" --skip-crds --no-hooks --wait --timeout 120s
expect 'TEST SUITE: *shop-check*Phase: *Succeeded' h test shop --timeout 60s
same Succeeded get '{.status.phase}' pod/shop-check
# Once more: the pod of the last run is replaced.
expect 'Succeeded' h test shop --timeout 60s
