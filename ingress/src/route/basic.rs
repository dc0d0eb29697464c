//! Users and passwords of routes: an htpasswd file or a map of users, compiled; who was let in once is let in fast.
//!
//! Pure but for what it remembers. Source: RFC 7617; Apache's password formats; ingress-nginx `internal/ingress/annotations/auth`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use md5::{Digest as _, Md5};
use parking_lot::Mutex;
use sha1::Sha1;
use sha2::Sha256;
use tokio::sync::Semaphore;

/// Passwords that are remembered as right; then all are forgotten.
const PROVEN_MAX: usize = 4_096;
/// Longest credentials that are looked at: bcrypt reads 72 bytes of a password, others cost with its length.
const CREDENTIALS_MAX: usize = 1_024;
/// Highest cost of a bcrypt hash: about a second of a core.
const COST_MAX: u32 = 14;
/// Rounds of an apr1 hash.
const APR1_ROUNDS: usize = 1_000;
/// The digits of apr1's own base 64.
const APR1_DIGITS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Who may come with which password.
pub struct BasicAuth {
    users: HashMap<Box<str>, Stored>,
    challenge: HeaderValue,
    /// One proof at a time.
    turn: Arc<Semaphore>,
    /// Guards what was right before; held for a look or an insertion.
    proven: Mutex<HashSet<[u8; 32]>>,
}

/// A password as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stored {
    Bcrypt(Box<str>),
    Apr1 { salt: Box<str>, sum: Box<str> },
    Sha1(Box<[u8]>),
}

/// What the credentials of a request come to.
#[derive(Debug, PartialEq, Eq)]
pub enum Standing {
    Right,
    Wrong,
    /// To be found out by [`BasicAuth::prove`], which takes a while.
    Open(Credentials),
}

/// A user's name and password, as they came.
#[derive(PartialEq, Eq)]
pub struct Credentials {
    user: Box<str>,
    password: Box<[u8]>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

impl fmt::Debug for BasicAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BasicAuth").field("users", &self.users.len()).finish_non_exhaustive()
    }
}

impl PartialEq for BasicAuth {
    fn eq(&self, other: &Self) -> bool {
        self.users == other.users && self.challenge == other.challenge
    }
}

impl BasicAuth {
    /// The users of an htpasswd file, and how many of its lines are of no form that is known here.
    #[must_use]
    pub fn of_file(file: &[u8], realm: &str) -> (Self, usize) {
        let text = String::from_utf8_lossy(file);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self::new(lines.map(|line| line.split_once(':').unwrap_or((line, ""))), realm)
    }

    /// The users of a Secret whose keys are their names.
    #[must_use]
    pub fn of_map(map: &BTreeMap<String, Vec<u8>>, realm: &str) -> (Self, usize) {
        let text = |bytes| std::str::from_utf8(bytes).unwrap_or("").trim();
        Self::new(map.iter().map(|(user, hash)| (user.as_str(), text(hash))), realm)
    }

    fn new<'a>(lines: impl Iterator<Item = (&'a str, &'a str)>, realm: &str) -> (Self, usize) {
        let (mut users, mut odd) = (HashMap::new(), 0);
        for (user, hash) in lines {
            match Stored::read(hash) {
                Some(stored) if !user.is_empty() => drop(users.entry(user.into()).or_insert(stored)),
                _ => odd += 1,
            }
        }
        let realm: String = realm.chars().filter(|c| !c.is_control() && *c != '"' && *c != '\\').collect();
        let challenge = HeaderValue::from_str(&format!("Basic realm=\"{realm}\""));
        let challenge = challenge.unwrap_or(HeaderValue::from_static("Basic realm=\"\""));
        (Self { users, challenge, turn: Arc::new(Semaphore::new(1)), proven: Mutex::default() }, odd)
    }

    /// The one turn in which passwords of this list are proved.
    #[must_use]
    pub fn turn(&self) -> &Arc<Semaphore> {
        &self.turn
    }

    /// `WWW-Authenticate` for who has not shown a right password.
    #[must_use]
    pub fn challenge(&self) -> &HeaderValue {
        &self.challenge
    }

    /// What an `Authorization` comes to, as far as it can be said at once.
    #[must_use]
    pub fn judge(&self, authorization: Option<&HeaderValue>) -> Standing {
        let Some(credentials) = authorization.and_then(credentials) else { return Standing::Wrong };
        // Who is not known takes as long as who is: names are not to be found out.
        let Some(stored) = self.users.get(&credentials.user) else { return Standing::Open(credentials) };
        if self.proven.lock().contains(&fingerprint(&credentials, stored)) {
            return Standing::Right;
        }
        Standing::Open(credentials)
    }

    /// Whether the password is right; takes a tenth of a second where it is stored well.
    #[must_use]
    pub fn is_right(&self, credentials: &Credentials) -> bool {
        self.proof(credentials).is_some()
    }

    /// The same, and what was right is remembered.
    #[must_use]
    pub fn prove(&self, credentials: &Credentials) -> bool {
        let Some(stored) = self.proof(credentials) else { return false };
        let mut proven = self.proven.lock();
        if proven.len() >= PROVEN_MAX {
            proven.clear();
        }
        proven.insert(fingerprint(credentials, stored));
        true
    }

    /// What is stored of the user, if the password is that.
    fn proof(&self, credentials: &Credentials) -> Option<&Stored> {
        let Some(stored) = self.users.get(&credentials.user) else {
            if let Some(other) = self.users.values().next() {
                std::hint::black_box(other.fits(&credentials.password));
            }
            return None;
        };
        stored.fits(&credentials.password).then_some(stored)
    }
}

/// The name that is shown with a password, whoever's it is and whether it is right; none where it is empty.
#[must_use]
pub fn user(authorization: &HeaderValue) -> Option<Box<str>> {
    credentials(authorization).map(|credentials| credentials.user).filter(|user| !user.is_empty())
}

fn credentials(authorization: &HeaderValue) -> Option<Credentials> {
    let text = authorization.to_str().ok().filter(|text| text.len() <= CREDENTIALS_MAX)?;
    let (scheme, encoded) = text.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = STANDARD.decode(encoded.trim()).ok()?;
    let colon = memchr::memchr(b':', &decoded)?;
    let user = std::str::from_utf8(&decoded[..colon]).ok()?;
    Some(Credentials { user: user.into(), password: decoded[colon + 1..].into() })
}

/// Salted by what is stored.
fn fingerprint(credentials: &Credentials, stored: &Stored) -> [u8; 32] {
    let stored: &[u8] = match stored {
        Stored::Bcrypt(text) => text.as_bytes(),
        Stored::Apr1 { sum, .. } => sum.as_bytes(),
        Stored::Sha1(sum) => sum,
    };
    let mut digest = Sha256::new();
    for part in [credentials.user.as_bytes(), &credentials.password, stored] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

impl Stored {
    fn read(hash: &str) -> Option<Self> {
        if ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| hash.starts_with(prefix)) {
            let parts = hash.parse::<bcrypt::HashParts>().ok();
            return parts.filter(|parts| parts.get_cost() <= COST_MAX).map(|_| Self::Bcrypt(hash.into()));
        }
        if let Some(rest) = hash.strip_prefix("$apr1$") {
            let (salt, sum) = rest.split_once('$')?;
            return (salt.len() <= 8 && sum.len() == 22).then(|| Self::Apr1 { salt: salt.into(), sum: sum.into() });
        }
        let sum = STANDARD.decode(hash.strip_prefix("{SHA}")?).ok()?;
        (sum.len() == 20).then(|| Self::Sha1(sum.into()))
    }

    fn fits(&self, password: &[u8]) -> bool {
        match self {
            Self::Bcrypt(hash) => bcrypt::verify(password, hash).unwrap_or(false),
            Self::Apr1 { salt, sum } => same(apr1(password, salt.as_bytes()).as_bytes(), sum.as_bytes()),
            Self::Sha1(sum) => same(&Sha1::digest(password), sum),
        }
    }
}

/// Compares in a time that does not depend on where the two differ.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

/// Apache's variant of the MD5 crypt, as `htpasswd -m` and `openssl passwd -apr1` make it.
fn apr1(password: &[u8], salt: &[u8]) -> String {
    let inner: [u8; 16] = Md5::new().chain_update(password).chain_update(salt).chain_update(password).finalize().into();
    let mut digest = Md5::new().chain_update(password).chain_update(b"$apr1$").chain_update(salt);
    for start in (0..password.len()).step_by(16) {
        digest.update(&inner[..(password.len() - start).min(16)]);
    }
    let mut length = password.len();
    while length > 0 {
        digest.update(if length & 1 == 1 { &[0][..] } else { &password[..1] });
        length >>= 1;
    }
    let mut sum: [u8; 16] = digest.finalize().into();
    for round in 0..APR1_ROUNDS {
        let mut digest = Md5::new();
        digest.update(if round & 1 == 1 { password } else { &sum });
        if round % 3 != 0 {
            digest.update(salt);
        }
        if round % 7 != 0 {
            digest.update(password);
        }
        digest.update(if round & 1 == 1 { &sum[..] } else { password });
        sum = digest.finalize().into();
    }
    let mut text = String::with_capacity(22);
    for [a, b, c] in [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]] {
        digits(&mut text, u32::from(sum[a]) << 16 | u32::from(sum[b]) << 8 | u32::from(sum[c]), 4);
    }
    digits(&mut text, u32::from(sum[11]), 2);
    text
}

fn digits(text: &mut String, mut bits: u32, count: usize) {
    for _ in 0..count {
        text.push(char::from(APR1_DIGITS[(bits & 0x3f) as usize]));
        bits >>= 6;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use http::HeaderValue;

    use super::{BasicAuth, Standing, apr1};

    fn shown(auth: &BasicAuth, user: &str, password: &str) -> bool {
        let value = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        match auth.judge(Some(&HeaderValue::from_str(&value).expect("text"))) {
            Standing::Right => true,
            Standing::Wrong => false,
            Standing::Open(credentials) => auth.prove(&credentials),
        }
    }

    #[test]
    fn apr1_is_what_openssl_makes() {
        // openssl passwd -apr1 -salt SALT PASSWORD
        for (password, salt, sum) in APR1 {
            assert_eq!(apr1(password.as_bytes(), salt.as_bytes()), *sum, "{password:?}");
        }
    }

    const APR1: &[(&str, &str, &str)] = &[
        ("password", "saltsalt", "yAAkm4libquA.ZWLHbSBq/"),
        ("", "s", "e2aCb9PLCjZ2t55SoAxXn."),
        ("a", "12345678", "68ZQVfPkWX/wcXr/41VxQ."),
        ("a much longer password than sixteen bytes", "xy", "KWmjAYxMqmqTjytotPjDu."),
        ("pässwörd", "abcd", "OEQsVnNdkPxS.6fjn0Xqu."),
    ];

    #[test]
    fn files_and_maps_say_who_may_come() {
        let cheap = bcrypt::hash("secret", 4).expect("hashed");
        let file = format!(
            "# users\nann:{cheap}\nbob:{{SHA}}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n\ncarl:$apr1${}${}\nodd:plain\n:x\nann:{{SHA}}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n",
            APR1[0].1, APR1[0].2
        );
        let (auth, odd) = BasicAuth::of_file(file.as_bytes(), "the \"shop\"\r\n");
        assert_eq!(odd, 2);
        assert_eq!(auth.challenge(), "Basic realm=\"the shop\"");
        assert!(shown(&auth, "ann", "secret") && shown(&auth, "bob", "password") && shown(&auth, "carl", APR1[0].0));
        for (user, password) in
            [("ann", "password"), ("bob", "secret"), ("carl", ""), ("odd", "plain"), ("", "x"), ("eve", "")]
        {
            assert!(!shown(&auth, user, password), "{user}");
        }
        let again = HeaderValue::from_str(&format!("basic {}", STANDARD.encode("ann:secret"))).expect("text");
        assert_eq!(auth.judge(Some(&again)), Standing::Right, "remembered");
        let map = BTreeMap::from([("ann".to_owned(), cheap.into_bytes())]);
        assert!(shown(&BasicAuth::of_map(&map, "r").0, "ann", "secret"));
    }

    #[test]
    fn what_is_only_asked_about_is_not_remembered() {
        let (auth, _) = BasicAuth::of_file(b"bob:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "r");
        let value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode("bob:password"))).expect("text");
        let open = || match auth.judge(Some(&value)) {
            Standing::Open(credentials) => Some(credentials),
            Standing::Right | Standing::Wrong => None,
        };
        assert!(auth.is_right(&open().expect("open")) && auth.prove(&open().expect("still open")));
        assert!(open().is_none(), "remembered");
    }

    #[test]
    fn what_is_no_basic_authorization_is_wrong() {
        let (auth, _) = BasicAuth::of_file(b"ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "r");
        let long = format!("Basic {}", STANDARD.encode("a".repeat(2_000)));
        for odd in ["", "Basic", "Basic !", "Bearer YW5uOnBhc3N3b3Jk", "Basic YW5u", "Basic /w==", &long] {
            let value = HeaderValue::from_str(odd).expect("text");
            assert_eq!(auth.judge(Some(&value)), Standing::Wrong, "{odd:?}");
        }
        assert_eq!(auth.judge(None), Standing::Wrong);
    }
}
