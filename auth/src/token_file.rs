//! Static bearer tokens from a file of kube-apiserver's `--token-auth-file` format.
//!
//! Read once at start; a line that cannot be used keeps the server from starting, because a token that somebody
//! believes in and that does not work, or works for somebody else, is worse.

mod csv;

use crate::authenticate::{AuthenticationError, AuthenticationRequest, Authenticator};
use crate::user::UserInfo;
use async_trait::async_trait;
use ring::hmac;
use ring::rand::SystemRandom;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// Longer files are refused.
const MAX_BYTES: usize = 8 << 20;

/// The users of a token file, found by a keyed hash: how long a lookup takes says nothing about the tokens.
pub struct TokenFile {
    key: hmac::Key,
    users: HashMap<[u8; 32], Arc<UserInfo>>,
}

/// Why a token file is refused; never quotes a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFileError {
    #[error("line {line}: {problem}")]
    Csv { line: usize, problem: &'static str },
    #[error("line {line}: a token needs at least 3 columns (token, user name, user uid), found {found}")]
    Columns { line: usize, found: usize },
    #[error("line {line}: the {column} is empty")]
    Empty { line: usize, column: &'static str },
    #[error("line {line}: the same token stands in line {first}")]
    Duplicate { line: usize, first: usize },
    #[error("the file is longer than {MAX_BYTES} bytes")]
    TooLong,
    #[error("the random source of the system fails")]
    Random,
}

impl TokenFile {
    /// Reads `token,user,uid[,"group1,group2"]`, quoted as RFC 4180 has it; further columns are ignored.
    ///
    /// Stricter than kube-apiserver, which skips an empty token and lets the last of two equal ones win.
    ///
    /// # Errors
    /// [`TokenFileError`] with the line that is to be mended.
    pub fn parse(text: &str) -> Result<Self, TokenFileError> {
        if text.len() > MAX_BYTES {
            return Err(TokenFileError::TooLong);
        }
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).map_err(|_| TokenFileError::Random)?;
        let mut file = Self { key, users: HashMap::new() };
        let mut lines: HashMap<[u8; 32], usize> = HashMap::new();
        for record in csv::Records::new(text) {
            let csv::Record { line, fields } = record?;
            let [token, name, uid, rest @ ..] = fields.as_slice() else {
                return Err(TokenFileError::Columns { line, found: fields.len() });
            };
            for (column, value) in [("token", token), ("user name", name)] {
                if value.is_empty() {
                    return Err(TokenFileError::Empty { line, column });
                }
            }
            let hash = file.hash(token);
            if let Some(first) = lines.insert(hash, line) {
                return Err(TokenFileError::Duplicate { line, first });
            }
            let groups = rest.first().map_or("", String::as_str);
            let mut user = UserInfo::new(name, groups.split(',').filter(|group| !group.is_empty()));
            user.uid = uid.clone();
            file.users.insert(hash, Arc::new(user.authenticated()));
        }
        Ok(file)
    }

    /// How many tokens there are.
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether nobody can authenticate with this file.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    fn hash(&self, token: &str) -> [u8; 32] {
        let tag = hmac::sign(&self.key, token.as_bytes());
        tag.as_ref().try_into().expect("HMAC-SHA256 gives 32 bytes")
    }
}

impl fmt::Debug for TokenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenFile({} tokens)", self.users.len())
    }
}

#[async_trait]
impl Authenticator for TokenFile {
    async fn authenticate(
        &self,
        request: &AuthenticationRequest<'_>,
    ) -> Result<Option<Arc<UserInfo>>, AuthenticationError> {
        let token = request.credential.bearer.as_ref();
        Ok(token.and_then(|token| self.users.get(&self.hash(token.expose())).cloned()))
    }
}

#[cfg(test)]
mod tests {
    use super::{TokenFile, TokenFileError};
    use crate::{AuthenticationRequest, Authenticator, Credential, Secret, UserInfo};
    use jiff::Timestamp;
    use std::sync::Arc;

    async fn who(file: &TokenFile, token: &str) -> Option<Arc<UserInfo>> {
        let credential = Credential { bearer: Some(Secret::new(token)), ..Credential::default() };
        let request = AuthenticationRequest { credential: &credential, path: "/", now: Timestamp::UNIX_EPOCH };
        file.authenticate(&request).await.unwrap()
    }

    #[tokio::test]
    async fn tokens_of_the_upstream_format() {
        let text = "token1,user1,uid1\r\n\ntoken2,user2,uid2,\"group1,group2\",more\n\"to\"\"ken,3\",\"user\n3\",\ntoken4,user4,uid4,group1\ntoken5,user5,uid5,group5,,";
        let file = TokenFile::parse(text).unwrap();
        assert_eq!(file.len(), 5);
        for (token, name, uid, groups) in [
            ("token1", "user1", "uid1", vec!["system:authenticated"]),
            ("token2", "user2", "uid2", vec!["group1", "group2", "system:authenticated"]),
            ("to\"ken,3", "user\n3", "", vec!["system:authenticated"]),
            ("token4", "user4", "uid4", vec!["group1", "system:authenticated"]),
            ("token5", "user5", "uid5", vec!["group5", "system:authenticated"]),
        ] {
            let user = who(&file, token).await.unwrap();
            assert_eq!((user.name.as_str(), user.uid.as_str()), (name, uid));
            assert_eq!(user.groups, groups);
        }
        for token in ["token", "token1 ", "Token1", "", "token2,user2"] {
            assert_eq!(who(&file, token).await, None, "{token}");
        }
        assert!(TokenFile::parse("").unwrap().is_empty());
    }

    #[test]
    fn bad_lines_are_named_and_tokens_are_not() {
        let csv = |line, problem| TokenFileError::Csv { line, problem };
        for (text, want) in [
            ("hunter2,b", TokenFileError::Columns { line: 1, found: 2 }),
            ("a,b,c\n\nhunter2", TokenFileError::Columns { line: 3, found: 1 }),
            ("a,b,c\n,b,c", TokenFileError::Empty { line: 2, column: "token" }),
            ("hunter2,,c", TokenFileError::Empty { line: 1, column: "user name" }),
            ("hunter2,b,c\nx,y,z\nhunter2,d,e", TokenFileError::Duplicate { line: 3, first: 1 }),
            ("hunter2,b,c\nx,y\"y,z", csv(2, "a quote stands inside an unquoted field")),
            ("\"hunter2\"x,b,c", csv(1, "text follows a closing quote")),
            ("a,\"b\n\n,c", csv(1, "a quoted field is not closed")),
            ("a,b,c\nd,\"e\ne\",f\ng,h", TokenFileError::Columns { line: 4, found: 2 }),
        ] {
            let error = TokenFile::parse(text).unwrap_err();
            assert_eq!(error, want, "{text:?}");
            assert!(!error.to_string().contains("hunter2"));
        }
        let long = "a".repeat(9 << 20);
        assert_eq!(TokenFile::parse(&long).unwrap_err(), TokenFileError::TooLong);
        assert_eq!(format!("{:?}", TokenFile::parse("hunter2,b,c").unwrap()), "TokenFile(1 tokens)");
    }
}
