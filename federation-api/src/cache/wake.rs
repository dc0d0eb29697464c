//! Who wakes for an event: watchers wait in the bucket of what they watch, so that an event of one
//! namespace does not wake the watchers of a thousand others.

use std::hash::{BuildHasher, Hasher};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

const NAMESPACE_BUCKETS: usize = 64;
const NAME_BUCKETS: usize = 256;

/// What a watcher can see at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every object of the resource.
    All,
    /// The objects of one namespace.
    Namespace(String),
    /// One object, by its key (`namespace/name` or `name`).
    Key(String),
}

/// Where the watchers of a scope wait; scopes may share one.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    pub(super) notify: Notify,
    /// One more than the sequence number of the newest event that concerns this bucket.
    last: AtomicU64,
}

#[derive(Debug, Default)]
pub(super) struct Wake {
    all: Bucket,
    /// Made when the first watcher of such a scope comes: most resources never have one.
    namespaces: OnceLock<Box<[Bucket]>>,
    names: OnceLock<Box<[Bucket]>>,
}

impl Scope {
    /// Whether an object of this key is within.
    #[must_use]
    pub fn covers(&self, key: &str) -> bool {
        match self {
            Self::All => true,
            Self::Namespace(namespace) => {
                key.strip_prefix(namespace.as_str()).is_some_and(|rest| rest.starts_with('/'))
            }
            Self::Key(own) => own == key,
        }
    }
}

impl Bucket {
    /// Whether no event at or after sequence number `seq` concerns this bucket.
    pub(super) fn quiet_since(&self, seq: u64) -> bool {
        self.last.load(Ordering::Acquire) <= seq
    }

    fn ring(&self, seq: u64) {
        self.last.store(seq + 1, Ordering::Release);
        self.notify.notify_waiters();
    }
}

impl Wake {
    /// The bucket of `scope`; `head` is the ring's next sequence number, in case it is made now.
    pub(super) fn bucket(&self, scope: &Scope, head: u64) -> &Bucket {
        match scope {
            Scope::All => &self.all,
            Scope::Namespace(namespace) => {
                pick(self.namespaces.get_or_init(|| buckets(NAMESPACE_BUCKETS, head)), namespace)
            }
            Scope::Key(key) => pick(self.names.get_or_init(|| buckets(NAME_BUCKETS, head)), key),
        }
    }

    /// Wakes everyone whom the event of this key and sequence number may concern.
    pub(super) fn ring(&self, key: &str, seq: u64) {
        self.all.ring(seq);
        if let (Some(buckets), Some((namespace, _))) = (self.namespaces.get(), key.split_once('/')) {
            pick(buckets, namespace).ring(seq);
        }
        if let Some(buckets) = self.names.get() {
            pick(buckets, key).ring(seq);
        }
    }
}

/// New buckets claim that everything before `head` concerned them: they cannot know better.
fn buckets(count: usize, head: u64) -> Box<[Bucket]> {
    (0..count).map(|_| Bucket { notify: Notify::new(), last: AtomicU64::new(head) }).collect()
}

fn pick<'a>(buckets: &'a [Bucket], text: &str) -> &'a Bucket {
    static SEED: OnceLock<std::hash::RandomState> = OnceLock::new();
    let mut hasher = SEED.get_or_init(std::hash::RandomState::new).build_hasher();
    hasher.write(text.as_bytes());
    let at = hasher.finish() % buckets.len() as u64;
    &buckets[usize::try_from(at).expect("below the number of buckets")]
}
