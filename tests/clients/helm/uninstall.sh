# uninstall: everything goes but what says keep; history can be kept.
run h install shop "$CLIENTS/data/chart" --skip-crds --no-hooks
expect 'release "shop" uninstalled' h uninstall shop --wait --timeout 120s
said 'These resources were kept due to the resource policy*PodTemplate' || fail 'no word of what was kept'
for object in deploy/shop sts/shop-store ds/shop-agent svc/shop ingress/shop secret/shop role/shop hpa/shop; do
    refuse 'not found' k get "$object"
done
run k get podtemplate shop
refuse 'not found' k get secret sh.helm.release.v1.shop.v1
run k delete podtemplate shop
run h install shop "$CLIENTS/data/chart" --skip-crds --no-hooks
run h uninstall shop --keep-history
expect 'uninstalled' h list --uninstalled
refuse 'not found' h uninstall never
run h uninstall never --ignore-not-found
