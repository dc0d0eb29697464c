# The official client: typed calls, an informer, patches, server-side apply.
expect done node "$CLIENTS/node/objects.mjs"
