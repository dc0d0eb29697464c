//! How a command fails: a code that `fedgate explain` knows, the cause, and what to do.
//!
//! Exit codes: 1 the answer is no, 2 usage, 3 unreachable or unauthorised, 4 timeout, 5 partial, 130 interrupted.

use std::fmt;

/// A failed command.
#[derive(Debug)]
pub struct Failure {
    pub code: &'static str,
    pub message: String,
    pub cause: Option<String>,
    pub fix: Option<String>,
}

/// One code: its exit status and what `fedgate explain` prints.
pub struct Code {
    pub code: &'static str,
    pub exit: u8,
    pub meaning: &'static str,
}

/// Every code there is; a code keeps its meaning forever.
pub const CODES: &[Code] = &[
    Code {
        code: "FG-CLI-001",
        exit: 2,
        meaning: "A flag, argument or configuration file does not make sense. Nothing was changed.",
    },
    Code {
        code: "FG-CLI-002",
        exit: 1,
        meaning: "A file or socket on this machine could not be read, written or opened.",
    },
    Code {
        code: "FG-CLI-003",
        exit: 130,
        meaning: "The command was interrupted, or the user said no at the question. What was printed as done is done.",
    },
    Code {
        code: "FG-HUB-001",
        exit: 3,
        meaning: "The federation control plane did not answer, or did not accept the credentials of the kubeconfig context. Commands use --hub, else $FEDGATE_KUBECONFIG, else $KUBECONFIG, else ~/.kube/config, and there the context \"fedgate\" if there is one.",
    },
    Code {
        code: "FG-HUB-002",
        exit: 1,
        meaning: "The federation control plane refused the request; its own message says why.",
    },
    Code {
        code: "FG-HUB-003",
        exit: 1,
        meaning: "A part of the server could not start. The cause names the part; the other parts were stopped.",
    },
    Code {
        code: "FG-CLU-001",
        exit: 3,
        meaning: "The cluster that shall join does not answer at the address that the server would use. Give an address that the server can reach with --server-address.",
    },
    Code {
        code: "FG-CLU-002",
        exit: 1,
        meaning: "This cluster is a member already, under another name. A cluster is identified by the UID of its kube-system namespace.",
    },
    Code {
        code: "FG-CLU-003",
        exit: 1,
        meaning: "Another cluster is registered under this name. Names are never moved to another cluster silently: remove the old member first.",
    },
    Code {
        code: "FG-CLU-004",
        exit: 1,
        meaning: "The cluster did not let the joining user create what the hub needs: a namespace, a service account, two cluster roles and their bindings.",
    },
    Code {
        code: "FG-CLU-005",
        exit: 4,
        meaning: "The member was registered but did not become Ready in time, or was removed but did not let go in time. Its conditions say what is missing; the hub goes on trying.",
    },
    Code {
        code: "FG-CLU-006",
        exit: 2,
        meaning: "The kubeconfig or the address cannot be used for a member: no such context, a program (exec, auth-provider), or an address of the hub's own machine.",
    },
    Code { code: "FG-CLU-007", exit: 1, meaning: "There is no such member." },
    Code {
        code: "FG-CLU-008",
        exit: 1,
        meaning: "The cluster that shall join is the federation control plane itself. Choose the cluster's context with --context; `fedgate up` makes its own context the current one.",
    },
    Code {
        code: "FG-ING-001",
        exit: 1,
        meaning: "Some annotations of the Ingresses would not be followed here, or some of their routes would be closed; the list says which and why. Nothing was changed.",
    },
    Code {
        code: "FG-ING-002",
        exit: 1,
        meaning: "No Ingress of this gateway takes that host and path, as far as this user may read them. Nothing was changed.",
    },
    Code {
        code: "FG-UP-001",
        exit: 1,
        meaning: "A playground runs already in this directory, or one did and left a file that is locked. `fedgate down` ends it.",
    },
    Code { code: "FG-UP-002", exit: 1, meaning: "No playground runs in this directory." },
    Code {
        code: "FG-UP-003",
        exit: 4,
        meaning: "The playground did not become ready, or did not end, in time. Its log is in fedgate.log of its directory if it was started with --detach.",
    },
];

impl Failure {
    /// A failure of a known code.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), cause: None, fix: None }
    }

    /// What is behind it.
    #[must_use]
    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    /// What the user can do.
    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// The process' exit status.
    #[must_use]
    pub fn exit(&self) -> u8 {
        CODES.iter().find(|c| c.code == self.code).map_or(1, |c| c.exit)
    }

    /// Something of this machine's files or sockets.
    pub fn local(what: impl fmt::Display, cause: impl fmt::Display) -> Self {
        Self::new("FG-CLI-002", what.to_string()).because(cause)
    }

    /// An answer of the hub, or none.
    #[must_use]
    pub fn hub(what: &str, error: &hub_client::ApiError) -> Self {
        let code =
            if error.is_unreachable() || matches!(error.code(), 401 | 403) { "FG-HUB-001" } else { "FG-HUB-002" };
        Self::new(code, what).because(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error[{}]: {}", self.code, self.message)?;
        if let Some(cause) = &self.cause {
            write!(f, "\n  cause  {cause}")?;
        }
        if let Some(fix) = &self.fix {
            write!(f, "\n  fix    {fix}")?;
        }
        write!(f, "\n  more   fedgate explain {}", self.code)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::{CODES, Failure};

    #[test]
    fn codes_are_unique_and_well_formed() {
        for (i, code) in CODES.iter().enumerate() {
            assert!(code.code.starts_with("FG-") && code.code.len() >= 9, "{}", code.code);
            assert!(CODES[i + 1..].iter().all(|other| other.code != code.code), "{}", code.code);
        }
    }

    #[test]
    fn a_failure_names_its_code_cause_and_fix() {
        let text = Failure::new("FG-CLU-001", "no answer").because("refused").fix("try").to_string();
        assert_eq!(
            text,
            "error[FG-CLU-001]: no answer\n  cause  refused\n  fix    try\n  more   fedgate explain FG-CLU-001"
        );
    }
}
