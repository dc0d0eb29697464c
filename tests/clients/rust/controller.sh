# kube-rs: a Controller that owns what it applies, with a finalizer and an Event recorder.
expect done "$RUST_CLIENTS" controller
