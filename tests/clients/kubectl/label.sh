# label and annotate: set, refuse to overwrite, overwrite, remove, by selector, with a lock, in a list.
run k create -f "$CLIENTS/data/web.yaml"
run k create configmap other --from-literal=a=b
expect 'configmap/web labeled' k label configmap web tier=front
expect 'configmap/web not labeled' k label configmap web tier=front
refuse "'tier' already has a value (front), and --overwrite is false" k label configmap web tier=back
expect 'configmap/web labeled' k label --overwrite configmap web tier=back
same back get '{.metadata.labels.tier}' cm/web
expect 'configmap/web unlabeled' k label configmap web tier-
refuse 'a valid label must be' k label configmap web 'tier=no spaces'
expect 'configmap/other labeled*configmap/web labeled' k label configmaps other web both=yes
expect 'configmap/web labeled' k label configmaps -l app=web picked=yes
same 'yes' get '{.metadata.labels.picked}' cm/web
same '' get '{.metadata.labels.picked}' cm/other
expect 'labeled' k label configmaps --all every=one
expect 'every=one' k label configmap web --list
expect 'configmap/web labeled (server dry run)' k label --dry-run=server configmap web dry=run
same '' get '{.metadata.labels.dry}' cm/web
expect 'configmap/web labeled' k label -f "$CLIENTS/data/web.yaml" file=yes
rv=$(get '{.metadata.resourceVersion}' cm/web)
expect 'configmap/web labeled' k label configmap web --resource-version="$rv" locked=yes
refuse 'the object has been modified' k label configmap web --resource-version="$rv" locked=no --overwrite

expect 'configmap/web annotated' k annotate configmap web note='has spaces, and = signs'
same 'has spaces, and = signs' get '{.metadata.annotations.note}' cm/web
refuse "'note' already has a value" k annotate configmap web note=x
expect 'configmap/web annotated' k annotate --overwrite configmap web note=y
expect 'note=y' k annotate configmap web --list
expect 'configmap/web annotated' k annotate configmap web note-
same '' get '{.metadata.annotations.note}' cm/web
expect 'annotated' k annotate configmaps -l app=web picked=yes
refuse 'Too long' k annotate configmap web --overwrite "big=$(head -c 300000 /dev/zero | tr '\0' x | head -c 120000)" "more=$(head -c 120000 /dev/zero | tr '\0' x)" "most=$(head -c 60000 /dev/zero | tr '\0' x)"
