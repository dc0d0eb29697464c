# controller-runtime: a manager with a cache, leader election, and a controller that owns what it makes.
expect done "$GO_CLIENTS" controller
