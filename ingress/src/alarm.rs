//! One timer for all waits of a connection: moving its end later costs nothing until it goes off.
//!
//! Knows time and tasks only.

use std::pin::Pin;
use std::task::Context;
use std::time::Instant;

use tokio::time::Sleep;

/// Goes off at a time that is set anew for each wait.
pub struct Alarm {
    sleep: Pin<Box<Sleep>>,
    due: Instant,
    /// The task is known to the timer.
    armed: bool,
}

impl Alarm {
    /// Goes off at `due`.
    #[must_use]
    pub fn new(due: Instant) -> Self {
        Self { sleep: Box::pin(tokio::time::sleep_until(due.into())), due, armed: false }
    }

    /// Goes off at `due` instead.
    pub fn set(&mut self, due: Instant) {
        self.due = due;
        if due < self.sleep.deadline().into_std() {
            self.sleep.as_mut().reset(due.into());
            self.armed = false;
        }
    }

    /// Whether it is time; if not, the task is woken then.
    pub fn is_due(&mut self, cx: &mut Context<'_>) -> bool {
        if self.armed && !self.sleep.is_elapsed() {
            return false;
        }
        while self.sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= self.due {
                return true;
            }
            self.sleep.as_mut().reset(self.due.into());
        }
        self.armed = true;
        false
    }
}
