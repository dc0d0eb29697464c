//! How often this thread's runtime has looked for news of its sockets.
//!
//! Until it has, a socket that looks quiet may have something to say.

use std::cell::Cell;

thread_local! {
    static TURN: Cell<u64> = const { Cell::new(0) };
}

/// The runtime is about to look.
pub fn passed() {
    TURN.set(TURN.get().wrapping_add(1));
}

/// The turn that it is.
pub fn current() -> u64 {
    TURN.get()
}
