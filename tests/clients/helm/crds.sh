# A chart's custom resource definitions come before its objects, and stay when it goes.
trap '"$KUBECTL" delete crd coupons.shop.example.com --ignore-not-found; leave' EXIT
run "$KUBECTL" delete crd coupons.shop.example.com --ignore-not-found
expect 'STATUS: deployed' h install shop "$CLIENTS/data/chart" --no-hooks --set coupon=10 --wait --timeout 120s
same 10 get '{.spec.percent}' coupon/shop
run h upgrade shop "$CLIENTS/data/chart" --no-hooks --set coupon=20
same 20 get '{.spec.percent}' cpn/shop
refuse 'spec.percent' h upgrade shop "$CLIENTS/data/chart" --no-hooks --set coupon=200
run h rollback shop 1
same 10 get '{.spec.percent}' coupon/shop
run h uninstall shop
refuse 'not found' k get coupon shop
run k get coupons
