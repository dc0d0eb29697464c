//! Load and floors for the benchmarks: programs that do as little as possible besides
//! what is measured. They know nothing of the product.

pub mod epoll;
pub mod kube;
pub mod latency;
pub mod pinned;
pub mod start;
pub mod websocket;
