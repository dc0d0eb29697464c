//! `fedgate route trace`: one request explained, by routes compiled here or by the process that serves.
//!
//! Both tell it with the same code; what only the process that serves knows is said to be missing here.

use std::net::IpAddr;
use std::path::Path;

use ingress::explain::{Question, Sight, explain};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::Trace;
use crate::admin;
use crate::admin::explain::PATH;
use crate::command::cluster::show::columns;
use crate::failure::Failure;

/// Tells the steps of a request.
///
/// # Errors
/// FG-CLI-001 for a request that is none; FG-HUB where the hub or the gateway does not answer or does not let this user ask.
pub async fn trace(trace: &Trace, hub_file: Option<&Path>) -> Result<(), Failure> {
    let question = question(trace)?;
    let rows = match (&trace.gateway, &trace.token_file) {
        (Some(gateway), Some(token)) => ask(trace, gateway, token).await?,
        _ => {
            let seen = super::seen(hub_file).await?;
            let sight = Sight::Outside { secrets: seen.unread.is_empty() };
            let steps = explain(&seen.routes(), question, sight).await;
            steps.into_iter().map(|step| [step.name.to_owned(), step.outcome]).collect()
        }
    };
    super::super::print(&columns(&rows))
}

/// The request that is asked about.
pub(super) fn question(trace: &Trace) -> Result<Question, Failure> {
    let fields = trace.headers.iter().map(String::as_str);
    admin::explain::question((&trace.url, trace.method.as_str()), fields, trace.from, trace.body)
        .map_err(|wrong| Failure::new("FG-CLI-001", wrong).fix("fedgate route trace http://HOST/PATH"))
}

/// Whether nobody on the way to the gateway hears the token.
fn unheard(gateway: &http::Uri) -> Result<(), Failure> {
    let host = gateway.host().unwrap_or("").trim_matches(['[', ']']);
    let here = || {
        let address = host.parse::<IpAddr>();
        host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.to_canonical().is_loopback())
    };
    match gateway.scheme_str() {
        Some("https") => Ok(()),
        Some("http") if here() => Ok(()),
        Some("http") => Err(Failure::new("FG-CLI-001", format!("the token is not sent to {gateway}"))
            .because("plain http shows it to everybody on the way")
            .fix("kubectl port-forward pod/GATEWAY 7090, then --gateway http://127.0.0.1:7090")),
        _ => Err(Failure::new("FG-CLI-001", format!("{gateway} is neither an http nor an https URL"))
            .fix("--gateway http://127.0.0.1:7090")),
    }
}

/// The steps as the gateway tells them.
async fn ask(trace: &Trace, gateway: &http::Uri, token: &Path) -> Result<Vec<[String; 2]>, Failure> {
    unheard(gateway)?;
    let read = std::fs::read_to_string(token);
    let token = read.map_err(|e| Failure::local(format!("cannot read {}", token.display()), e))?;
    let mut config = kube::Config::new(gateway.clone());
    config.auth_info.token = Some(token.trim().to_owned().into());
    let unusable = |cause: String| Failure::new("FG-CLI-001", format!("{gateway} is no gateway")).because(cause);
    let gateway = kube::Client::try_from(config).map_err(|e| unusable(e.to_string()))?;
    let mut path = format!("{PATH}?from={}", trace.from);
    let mut add = |name: &str, value: &str| {
        path += &format!("&{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC));
    };
    add("url", &trace.url);
    add("method", trace.method.as_str());
    for header in &trace.headers {
        add("header", header);
    }
    if let Some(body) = trace.body {
        add("body", &body.to_string());
    }
    let answer = hub_client::Caller::new(gateway).get_path(&path).await;
    let answer = answer.map_err(|e| Failure::hub("the gateway does not explain", &e))?;
    let steps = answer["steps"].as_array().ok_or_else(|| unusable("its answer has no steps".to_owned()))?;
    let text = |step: &Value, key: &str| step[key].as_str().unwrap_or("").to_owned();
    Ok(steps.iter().map(|step| [text(step, "step"), text(step, "outcome")]).collect())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{Trace, ask, question, unheard};

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        trace: Trace,
    }

    #[test]
    fn a_request_is_named_as_people_name_it() {
        let asked = |text: &str| question(&Line::try_parse_from(["trace", text]).expect("a text").trace);
        for (text, tls, port, target) in [
            ("shop.example/cart?x=1", false, 80, "http://shop.example/cart?x=1"),
            ("shop.example", false, 80, "http://shop.example/"),
            ("shop.example:7080/x", false, 7080, "http://shop.example:7080/x"),
            ("https://shop.example/x", true, 443, "https://shop.example/x"),
        ] {
            let question = asked(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((question.tls, question.port, question.parts.uri.to_string()), (tls, port, target.to_owned()));
        }
        for odd in ["ftp://shop.example/", "a b", "http://"] {
            let told = asked(odd).expect_err(odd).to_string();
            assert!(told.contains("neither HOST/PATH nor an http or https URL") && told.contains(odd), "{told}");
        }
    }

    #[test]
    fn a_token_goes_over_plain_http_to_this_machine_alone() {
        for (gateway, wrong) in [
            ("http://127.0.0.1:7090", None),
            ("http://127.9.9.9", None),
            ("http://[::1]:7090/", None),
            ("http://[::ffff:127.0.0.1]", None),
            ("http://LocalHost:7090", None),
            ("https://gate.example", None),
            ("http://gate.example", Some("the token is not sent to")),
            ("http://10.0.0.1:7090", Some("the token is not sent to")),
            ("http://[::]:7090", Some("the token is not sent to")),
            ("http://0.0.0.0:7090", Some("the token is not sent to")),
            ("http://127.0.0.1@gate.example/", Some("the token is not sent to")),
            ("http://localhost.gate.example/", Some("the token is not sent to")),
            ("http://127.0.0.1.gate.example/", Some("the token is not sent to")),
            ("http://127.1:7090", Some("the token is not sent to")),
            ("ftp://127.0.0.1", Some("neither an http nor an https URL")),
            ("127.0.0.1:7090", Some("neither an http nor an https URL")),
            ("/explain", Some("neither an http nor an https URL")),
        ] {
            let told = unheard(&gateway.parse().expect("a URI")).err().map(|failure| failure.to_string());
            assert_eq!(told.is_some(), wrong.is_some(), "{gateway} {told:?}");
            let fits =
                |told: &String| wrong.is_some_and(|wrong| told.contains(wrong) && told.contains("http://127.0.0.1"));
            assert!(told.as_ref().is_none_or(fits), "{told:?}");
        }
    }

    #[tokio::test]
    async fn who_could_be_overheard_does_not_even_read_the_token() {
        let line = ["trace", "shop.example", "--gateway", "http://192.0.2.1:7090", "--token-file", "/nowhere/token"];
        let trace = Line::try_parse_from(line).expect("a trace").trace;
        let (gateway, token) = (trace.gateway.as_ref().expect("given"), trace.token_file.as_ref().expect("given"));
        let told = ask(&trace, gateway, token).await.expect_err("refused").to_string();
        assert!(told.contains("plain http shows it") && told.contains("kubectl port-forward"), "{told}");
    }
}
