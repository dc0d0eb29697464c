# client-go: a Lease has one holder, and another one when that gives up.
expect done "$GO_CLIENTS" election
