//! The endpoint as a process under attack: what is sent is refused, memory stays flat, and others are served meanwhile.
//!
//! Memory is the process's own, as /proc tells it; no test is decided by how long something takes.

mod crowd;
mod endpoint;
mod floods;
mod frames;
mod large;
mod line;
