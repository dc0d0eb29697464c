//! Reading a kubeconfig: on the user's side files may be followed, on the server's side nothing may.
//!
//! Programs (`exec`, `auth-provider`) are never run, on neither side: their answer would not outlive the hour.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use federation_types::text;
use serde_json::Value;

use crate::credentials::{CredentialError, Credentials};

/// Largest kubeconfig that is read, in bytes.
pub const KUBECONFIG_MAX: usize = 1 << 20;

/// A parsed kubeconfig.
pub struct Kubeconfig {
    root: Value,
}

/// One context of a kubeconfig, everything inline.
#[derive(Debug, Clone)]
pub struct Context {
    pub name: String,
    pub server: String,
    /// PEM, empty for the system's roots.
    pub ca: String,
    pub credentials: Credentials,
}

impl Kubeconfig {
    /// Parses YAML or JSON.
    ///
    /// # Errors
    /// [`CredentialError::Kubeconfig`] if it is too large or no mapping.
    pub fn parse(source: &str) -> Result<Self, CredentialError> {
        if source.len() > KUBECONFIG_MAX {
            return Err(CredentialError::Kubeconfig(format!("larger than {KUBECONFIG_MAX} bytes")));
        }
        let root: Value =
            serde_saphyr::from_str(source).map_err(|e| CredentialError::Kubeconfig(first_line(&e.to_string())))?;
        if !root.is_object() {
            return Err(CredentialError::Kubeconfig("the document is not a mapping".to_owned()));
        }
        Ok(Self { root })
    }

    /// Names of all contexts.
    #[must_use]
    pub fn contexts(&self) -> Vec<&str> {
        text::list_at(&self.root, &["contexts"]).map(|c| text::str_at(c, &["name"])).collect()
    }

    /// The context `name` (empty: the current one) with inline content only, as a server may use it.
    ///
    /// # Errors
    /// [`CredentialError::Indirect`] where it names a file or a program.
    pub fn inline(&self, name: &str) -> Result<Context, CredentialError> {
        self.context(name, &|what, _path| Err(CredentialError::Indirect(what.to_owned())))
    }

    /// The context `name` (empty: the current one); files are read relative to `dir`, as kubectl does.
    ///
    /// # Errors
    /// [`CredentialError`] where the context is not there, a file cannot be read or a program would have to run.
    pub fn resolve(&self, name: &str, dir: &Path) -> Result<Context, CredentialError> {
        self.context(name, &|what, path| {
            std::fs::read_to_string(dir.join(path))
                .map_err(|e| CredentialError::Kubeconfig(format!("{what}: {path}: {e}")))
        })
    }

    fn context(&self, name: &str, read: &ReadFile<'_>) -> Result<Context, CredentialError> {
        let name = if name.is_empty() { text::str_at(&self.root, &["current-context"]) } else { name };
        if name.is_empty() {
            return Err(CredentialError::Kubeconfig("no context is the current one".to_owned()));
        }
        let context = self.named("contexts", name, "context")?;
        let place = self.named("clusters", text::str_at(context, &["cluster"]), "cluster")?;
        let user = self.named("users", text::str_at(context, &["user"]), "user")?;
        if text::at(place, &["insecure-skip-tls-verify"]).and_then(Value::as_bool) == Some(true) {
            return Err(CredentialError::Kubeconfig(
                "insecure-skip-tls-verify is not supported: give the CA".to_owned(),
            ));
        }
        for refused in ["proxy-url", "tls-server-name"] {
            if !text::str_at(place, &[refused]).is_empty() {
                return Err(CredentialError::Kubeconfig(format!("{refused} is not supported")));
            }
        }
        Ok(Context {
            name: name.to_owned(),
            server: text::str_at(place, &["server"]).to_owned(),
            ca: content(place, "certificate-authority-data", "certificate-authority", read)?,
            credentials: credentials(user, read)?,
        })
    }

    fn named(&self, list: &str, name: &str, key: &str) -> Result<&Value, CredentialError> {
        text::list_at(&self.root, &[list])
            .find(|entry| text::str_at(entry, &["name"]) == name)
            .and_then(|entry| entry.get(key))
            .ok_or_else(|| CredentialError::Kubeconfig(format!("no entry {name:?} in {list}")))
    }
}

type ReadFile<'a> = dyn Fn(&str, &str) -> Result<String, CredentialError> + 'a;

fn credentials(user: &Value, read: &ReadFile<'_>) -> Result<Credentials, CredentialError> {
    for program in ["exec", "auth-provider"] {
        if user.get(program).is_some() {
            return Err(CredentialError::Indirect(program.to_owned()));
        }
    }
    for refused in ["as", "as-groups", "as-uid", "as-user-extra", "username", "password"] {
        if user.get(refused).is_some() {
            return Err(CredentialError::Kubeconfig(format!(
                "user.{refused} is not supported: use a token or a client certificate"
            )));
        }
    }
    let token = match (text::str_at(user, &["token"]), text::str_at(user, &["tokenFile"])) {
        ("", "") => String::new(),
        ("", file) => read("tokenFile", file)?,
        (token, _) => token.to_owned(),
    };
    if !token.trim().is_empty() {
        return Ok(Credentials::Token(token.trim().to_owned()));
    }
    let chain = content(user, "client-certificate-data", "client-certificate", read)?;
    let key = content(user, "client-key-data", "client-key", read)?;
    if chain.is_empty() || key.is_empty() {
        return Err(CredentialError::Kubeconfig("the user has neither a token nor a client certificate".to_owned()));
    }
    Ok(Credentials::Certificate { chain, key })
}

fn content(entry: &Value, data: &str, file: &str, read: &ReadFile<'_>) -> Result<String, CredentialError> {
    let inline = text::str_at(entry, &[data]);
    if !inline.is_empty() {
        let bytes =
            STANDARD.decode(inline).map_err(|_| CredentialError::Kubeconfig(format!("{data} is not base64")))?;
        return String::from_utf8(bytes).map_err(|_| CredentialError::Kubeconfig(format!("{data} is not PEM")));
    }
    match text::str_at(entry, &[file]) {
        "" => Ok(String::new()),
        path => read(file, path),
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::Kubeconfig;
    use crate::credentials::{CredentialError, Credentials};

    fn config(user: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts: [{{name: a, context: {{cluster: c, user: u}}}}]\n\
             clusters: [{{name: c, cluster: {{server: 'https://10.0.0.1:6443'}}}}]\nusers: [{{name: u, user: {user}}}]\n"
        )
    }

    #[test]
    fn inline_content_only_on_the_server_side() {
        let context = Kubeconfig::parse(&config("{token: t}")).and_then(|k| k.inline("")).expect("inline");
        assert_eq!(context.credentials, Credentials::Token("t".to_owned()));
        for (user, named) in [
            ("{exec: {command: id, apiVersion: x}}", "exec"),
            ("{auth-provider: {name: gcp}}", "auth-provider"),
            ("{tokenFile: /etc/shadow}", "tokenFile"),
            ("{client-certificate: /a, client-key: /b}", "client-certificate"),
        ] {
            let refused = Kubeconfig::parse(&config(user)).and_then(|k| k.inline("")).expect_err(user);
            assert_eq!(refused, CredentialError::Indirect(named.to_owned()));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in ["", "[]", "a: [", "current-context: x", &config("{}"), &config("{token: t, as: root}")] {
            assert!(Kubeconfig::parse(bad).and_then(|k| k.inline("")).is_err(), "{bad}");
        }
        assert!(Kubeconfig::parse(&"a".repeat(2 << 20)).is_err());
    }
}
