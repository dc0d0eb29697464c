# kube-rs: watchers by pages and by streamed lists, of objects and of metadata, and a reflector's store.
expect done "$RUST_CLIENTS" watchers
