# The official client: typed calls, an informer, patches, server-side apply. It brings the node that it needs.
node=$(find "$NODE_PROJECT"/node_modules/node-linux-*/bin -name node -print -quit 2>/dev/null || true)
[ -n "$node" ] || skip "no node 22 for a $(uname -m)"
expect done "$node" "$CLIENTS/node/objects.mjs"
