//! Tunnels between plain sockets have a thread of their own, one for all of a worker's: a message costs two system calls, and
//! neither a task nor a timer.
//!
//! Knows readiness and the clock; what moves is [`Pair`]'s.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::{Events, Interest, Poll, Registry, Token, Waker};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::proxy::tunnel::BUFFER;
use crate::proxy::tunnel::pair::{Pair, Turn};

/// The token of what comes from other threads; `2 * slot` is a tunnel's client, `2 * slot + 1` its endpoint.
const CALL: Token = Token(usize::MAX);
const EVENTS_AT_ONCE: usize = 1024;
/// How often tunnels are looked over at least, and at most.
const SWEEPS: [Duration; 2] = [Duration::from_secs(1), Duration::from_millis(10)];

/// The way to the thread. It ends, with its tunnels, when this is dropped.
pub struct Carrier {
    inbox: Arc<Inbox>,
    waker: Waker,
    thread: JoinHandle<()>,
}

/// Says how a tunnel ended; gone without a word if the thread ends first.
pub type Farewell = oneshot::Receiver<io::Result<()>>;

#[derive(Default)]
struct Inbox {
    arrivals: Mutex<Vec<Carried>>,
    closing: AtomicBool,
}

struct Carried {
    pair: Pair,
    farewell: oneshot::Sender<io::Result<()>>,
}

impl Carrier {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread or no file descriptors left.
    pub fn start() -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), CALL)?;
        let inbox = Arc::<Inbox>::default();
        let theirs = inbox.clone();
        let thread = thread::Builder::new().name("ingress-tunnels".to_owned()).spawn(move || {
            if let Err(error) = Round::new(poll, theirs).run() {
                tracing::error!(%error, "the thread that carries tunnels ended, and they with it");
            }
        })?;
        Ok(Self { inbox, waker, thread })
    }

    /// Whether the thread broke: what it is given nobody takes.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Takes a tunnel over.
    ///
    /// # Errors
    /// The thread cannot be told.
    pub fn carry(&self, pair: Pair) -> io::Result<Farewell> {
        let (farewell, ended) = oneshot::channel();
        self.inbox.arrivals.lock().push(Carried { pair, farewell });
        self.waker.wake()?;
        Ok(ended)
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.inbox.closing.store(true, Ordering::Release);
        if let Err(error) = self.waker.wake() {
            tracing::warn!(%error, "the thread that carries tunnels cannot be told to end");
        }
    }
}

/// The thread's own: tunnels by slot.
struct Round {
    poll: Poll,
    inbox: Arc<Inbox>,
    slots: Vec<Option<Carried>>,
    free: Vec<usize>,
    /// Directions that have more than their turn took: slots and the senders' numbers.
    again: Vec<(usize, usize)>,
    scratch: Box<[u8]>,
    sweep: Duration,
    swept: Instant,
}

impl Round {
    fn new(poll: Poll, inbox: Arc<Inbox>) -> Self {
        let (slots, free, again) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            poll,
            inbox,
            slots,
            free,
            again,
            scratch: vec![0; BUFFER].into(),
            sweep: SWEEPS[0],
            swept: Instant::now(),
        }
    }

    fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_AT_ONCE);
        while !self.inbox.closing.load(Ordering::Acquire) {
            match self.poll.poll(&mut events, self.patience()) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                told => told?,
            }
            let mut called = false;
            for event in &events {
                if event.token() == CALL {
                    called = true;
                } else {
                    self.told(event);
                }
            }
            for (slot, from) in std::mem::take(&mut self.again) {
                self.turn(slot, from);
            }
            if called {
                let arrivals = std::mem::take(&mut *self.inbox.arrivals.lock());
                arrivals.into_iter().for_each(|arrival| self.admit(arrival));
            }
            self.look_over(Instant::now());
        }
        Ok(())
    }

    /// How long there is nothing to do if no socket says otherwise.
    fn patience(&self) -> Option<Duration> {
        if !self.again.is_empty() {
            return Some(Duration::ZERO);
        }
        let busy = self.slots.len() > self.free.len();
        // Whole milliseconds are what the system waits, and a look too early is one for nothing.
        busy.then(|| (self.swept + self.sweep).saturating_duration_since(Instant::now()) + Duration::from_millis(1))
    }

    fn told(&mut self, event: &Event) {
        let (slot, from) = (event.token().0 / 2, event.token().0 % 2);
        let Some(carried) = self.slots.get_mut(slot).and_then(Option::as_mut) else { return };
        let [mut comes, mut goes] = [false, false];
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            carried.pair.ways[from].may_be_read(event.is_read_closed() || event.is_error());
            comes = true;
        }
        if event.is_writable() || event.is_write_closed() {
            goes = carried.pair.ways[1 - from].waits_for_receiver();
        }
        if comes {
            self.turn(slot, from);
        }
        if goes {
            self.turn(slot, 1 - from);
        }
    }

    /// Lets one direction of a tunnel go on.
    fn turn(&mut self, slot: usize, from: usize) {
        let Some(carried) = self.slots.get_mut(slot).and_then(Option::as_mut) else { return };
        match carried.pair.carry(from, &mut self.scratch) {
            Ok(Turn::Waits) => {}
            Ok(Turn::Goes) => self.again.push((slot, from)),
            Ok(Turn::Done) if carried.pair.is_over() => self.end(slot, Ok(())),
            Ok(Turn::Done) => {}
            Err(error) => self.end(slot, Err(error)),
        }
    }

    fn admit(&mut self, mut carried: Carried) {
        let limits = carried.pair.limits;
        let soonest = limits.stall.map_or(limits.idle, |stall| stall.min(limits.idle));
        self.sweep = (soonest / 4).clamp(SWEEPS[1], self.sweep);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        let registered = register(self.poll.registry(), &mut carried.pair, slot);
        self.slots[slot] = Some(carried);
        match registered {
            Ok(()) => [0, 1].into_iter().for_each(|from| self.turn(slot, from)),
            Err(error) => self.end(slot, Err(error)),
        }
    }

    /// Ends the tunnels that stood still for too long, or that nobody waits for.
    fn look_over(&mut self, now: Instant) {
        if now < self.swept + self.sweep {
            return;
        }
        self.swept = now;
        for slot in 0..self.slots.len() {
            let Some(carried) = &mut self.slots[slot] else { continue };
            if carried.pair.is_overdue(now) || carried.farewell.is_closed() {
                self.end(slot, Err(ErrorKind::TimedOut.into()));
            }
        }
    }

    /// The sockets close by being dropped, which takes them out of the poll, too.
    fn end(&mut self, slot: usize, how: io::Result<()>) {
        let Some(carried) = self.slots[slot].take() else { return };
        self.free.push(slot);
        if carried.farewell.send(how).is_err() {
            tracing::debug!("nobody waited for the end of a tunnel");
        }
    }
}

fn register(registry: &Registry, pair: &mut Pair, slot: usize) -> io::Result<()> {
    for (side, socket) in pair.sockets.iter_mut().enumerate() {
        registry.register(socket, Token(2 * slot + side), Interest::READABLE | Interest::WRITABLE)?;
    }
    Ok(())
}
