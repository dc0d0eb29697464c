# The official client: typed calls, an informer, patches, server-side apply.
[ "$(node --version | sed "s/^v//; s/\..*//")" -ge 22 ] || skip "the library needs node 22; this is $(node --version)"
expect done node "$CLIENTS/node/objects.mjs"
