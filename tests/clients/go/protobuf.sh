# client-go: typed calls with protobuf bodies.
expect done "$GO_CLIENTS" protobuf
