# client-go: a shared informer sees the state and each change, once and in order.
expect done "$GO_CLIENTS" informers
