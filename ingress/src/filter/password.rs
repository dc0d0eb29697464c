//! Proofs of passwords, which take a while: off the workers, few at once, and not more waiting than will be answered.
//!
//! Knows no routes; whose users they are is the policy's.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use http::header::WWW_AUTHENTICATE;
use http::{HeaderValue, StatusCode};
use tokio::sync::Semaphore;

use super::{Reply, Stop};
use crate::refusal::Refusal;
use crate::route::basic::{BasicAuth, Standing};

/// Passwords that are proved at once, whoever shows them: a flood of wrong ones leaves cores to requests.
static PROOFS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(2)));
/// Requests that wait for the proof of a password; more are sent away.
const WAITING_MAX: usize = 64;
static WAITING: AtomicUsize = AtomicUsize::new(0);

const BUSY: Refusal =
    Refusal { status: StatusCode::SERVICE_UNAVAILABLE, reason: "too many passwords are being proved", close: false };

/// One that waits, until it is dropped.
struct Waits;

impl Waits {
    fn begin() -> Option<Self> {
        let waits = Self;
        (WAITING.fetch_add(1, Ordering::Relaxed) < WAITING_MAX).then_some(waits)
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Lets in who shows the password of a user.
///
/// # Errors
/// 401.
pub async fn prove(users: &Arc<BasicAuth>, authorization: Option<&HeaderValue>) -> Result<(), Stop> {
    let right = match users.judge(authorization) {
        Standing::Right => true,
        Standing::Wrong => false,
        Standing::Open(credentials) => {
            let _waits = Waits::begin().ok_or(BUSY)?;
            // One of each list at a time, so that nobody's passwords keep everybody else's waiting.
            let own = Arc::clone(users.turn()).acquire_owned().await;
            let turn = Arc::clone(&PROOFS).acquire_owned().await;
            let users = Arc::clone(users);
            // A password that is stored well takes a tenth of a second: no worker can wait for that. The turns go along,
            // since a client that leaves does not end the work.
            let prove = move || {
                let right = users.prove(&credentials);
                drop((own, turn));
                right
            };
            tokio::task::spawn_blocking(prove).await.unwrap_or(false)
        }
    };
    let_in(users, right)
}

/// The same for a request that nobody sent: takes no turn that requests wait for, and nothing is remembered.
///
/// `turn` is held until it is found out, whoever waits for it.
///
/// # Errors
/// 401.
pub async fn verdict(
    users: &Arc<BasicAuth>,
    authorization: Option<&HeaderValue>,
    turn: impl Send + 'static,
) -> Result<(), Stop> {
    let right = match users.judge(authorization) {
        Standing::Right => true,
        Standing::Wrong => false,
        Standing::Open(credentials) => {
            let users = Arc::clone(users);
            let judge = move || {
                let right = users.is_right(&credentials);
                drop(turn);
                right
            };
            tokio::task::spawn_blocking(judge).await.unwrap_or(false)
        }
    };
    let_in(users, right)
}

fn let_in(users: &BasicAuth, right: bool) -> Result<(), Stop> {
    if right {
        return Ok(());
    }
    let challenge = (WWW_AUTHENTICATE, users.challenge().clone());
    Err(Stop::Reply(Reply::new(StatusCode::UNAUTHORIZED, "no user with this password", [challenge])))
}
