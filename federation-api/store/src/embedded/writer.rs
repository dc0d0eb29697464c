//! The way to the committer: a bounded queue and a thread of its own, or a lock where no disk is
//! waited for. Whatever has queued while the last batch was being synced becomes the next batch.

use std::sync::mpsc::{self, RecvTimeoutError, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::commit::{Committer, Txn};
use crate::contract::{Rev, StoreError, TxnError};

/// Most transactions in one fsync, so that the first of them does not wait too long.
const BATCH_TXNS: usize = 512;
/// Most bytes in one fsync, for the same reason.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// What may wait in the queue, in KiB; a transaction counts at least one. Others wait to be queued.
const QUEUE_KIB: u32 = 64 * 1024;
/// How often a file that could not be opened again is tried.
const RETRY: Duration = Duration::from_millis(500);

type Reply<T> = oneshot::Sender<T>;

pub(super) enum Request {
    Txn { txn: Txn, reply: Reply<Result<Rev, TxnError>>, _room: OwnedSemaphorePermit },
    Compact { to: Rev, reply: Reply<Result<(), StoreError>> },
    Close,
}

pub(super) enum Writer {
    /// In memory: the caller commits itself. Held for one transaction, never across an await.
    Inline(Mutex<Committer>),
    Thread {
        requests: mpsc::Sender<Request>,
        room: Arc<Semaphore>,
        /// Taken by the first `close`.
        thread: Mutex<Option<JoinHandle<()>>>,
    },
}

impl Writer {
    pub(super) fn inline(committer: Committer) -> Self {
        Self::Inline(Mutex::new(committer))
    }

    pub(super) fn thread(committer: Committer) -> Result<Self, StoreError> {
        let (requests, queue) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || run(committer, &queue))
            .map_err(|error| StoreError::Broken { detail: format!("cannot start the writer thread: {error}") })?;
        let room = Arc::new(Semaphore::new(QUEUE_KIB as usize));
        Ok(Self::Thread { requests, room, thread: Mutex::new(Some(thread)) })
    }

    pub(super) async fn txn(&self, txn: Txn) -> Result<Rev, TxnError> {
        match self {
            Self::Inline(committer) => {
                let mut committer = committer.lock().unwrap_or_else(PoisonError::into_inner);
                let mut results = committer.commit(std::slice::from_ref(&txn));
                results.pop().unwrap_or(Err(TxnError::Store(StoreError::Closed)))
            }
            Self::Thread { requests, room, .. } => {
                let size = u32::try_from(txn.bytes / 1024).unwrap_or(QUEUE_KIB).saturating_add(1).min(QUEUE_KIB);
                let room = Arc::clone(room).acquire_many_owned(size).await.map_err(|_| StoreError::Closed)?;
                let (reply, answer) = oneshot::channel();
                requests.send(Request::Txn { txn, reply, _room: room }).map_err(|_| StoreError::Closed)?;
                answer.await.unwrap_or(Err(TxnError::Store(StoreError::Closed)))
            }
        }
    }

    pub(super) async fn compact(&self, to: Rev) -> Result<(), StoreError> {
        match self {
            Self::Inline(committer) => committer.lock().unwrap_or_else(PoisonError::into_inner).compact(to),
            Self::Thread { requests, .. } => {
                let (reply, answer) = oneshot::channel();
                requests.send(Request::Compact { to, reply }).map_err(|_| StoreError::Closed)?;
                answer.await.unwrap_or(Err(StoreError::Closed))
            }
        }
    }

    /// Ends the thread after what is queued.
    pub(super) fn close(&self) {
        let Self::Thread { requests, room, thread } = self else { return };
        let Some(thread) = thread.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        room.close();
        if requests.send(Request::Close).is_err() {
            tracing::error!("the store's writer thread ended early");
        }
        if thread.join().is_err() {
            tracing::error!("the store's writer thread panicked");
        }
    }
}

/// What the thread does until it is closed.
fn run(mut committer: Committer, queue: &mpsc::Receiver<Request>) {
    let mut held = None;
    loop {
        let first = match held.take() {
            Some(request) => request,
            None => match wait(&mut committer, queue) {
                Some(request) => request,
                None => break,
            },
        };
        match first {
            Request::Close => break,
            Request::Compact { to, reply } => answer(reply, committer.compact(to)),
            Request::Txn { txn, reply, _room } => {
                let (batch, replies);
                (batch, replies, held) = drain(txn, reply, _room, queue);
                for (reply, result) in replies.into_iter().zip(committer.commit(&batch)) {
                    answer(reply.0, result);
                }
            }
        }
    }
    committer.flush();
}

/// The next request; meanwhile flushes what is due and tries a failed file again.
fn wait(committer: &mut Committer, queue: &mpsc::Receiver<Request>) -> Option<Request> {
    loop {
        let patience = match committer.is_down() {
            true => Some(RETRY),
            false => committer.flush_every(),
        };
        let Some(patience) = patience else { return queue.recv().ok() };
        match queue.recv_timeout(patience) {
            Ok(request) => return Some(request),
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => committer.tick(),
        }
    }
}

type Replies = Vec<(Reply<Result<Rev, TxnError>>, OwnedSemaphorePermit)>;

/// Takes what has queued behind the first transaction, up to the limits of a batch; also the first
/// request that does not belong in it.
fn drain(
    first: Txn,
    reply: Reply<Result<Rev, TxnError>>,
    room: OwnedSemaphorePermit,
    queue: &mpsc::Receiver<Request>,
) -> (Vec<Txn>, Replies, Option<Request>) {
    let mut bytes = first.bytes;
    let mut batch = vec![first];
    let mut replies = vec![(reply, room)];
    while batch.len() < BATCH_TXNS && bytes < BATCH_BYTES {
        match queue.try_recv() {
            Ok(Request::Txn { txn, reply, _room }) => {
                bytes += txn.bytes;
                batch.push(txn);
                replies.push((reply, _room));
            }
            Ok(other) => return (batch, replies, Some(other)),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
        }
    }
    (batch, replies, None)
}

/// A caller that has gone away wants no answer; its transaction has happened all the same.
fn answer<T>(reply: Reply<T>, result: T) {
    if reply.send(result).is_err() {
        tracing::debug!("the caller of a store write went away");
    }
}
