# client-go: objects without types, pages, apply.
expect done "$GO_CLIENTS" dynamic
