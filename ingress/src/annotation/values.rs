//! The forms of annotations that have one of their own: tried by the code that reads them afterwards.

use http::HeaderName;

use super::form::{Form, reads};
use super::{bearer, delivery, endpoints, extauth, group, is_secret, mirror, mutual, snippet};
use crate::route::balance::HashKey;
use crate::route::extauth::SignIn;
use crate::route::{Affinity, CookieSettings, HealthCheck, Retries, Shares};

pub(super) const CACHE_TIMES: Form =
    Form::Fits(|text| extauth::durations(text).is_some(), "a list such as 200 202 10m, 401 30s");
pub(super) const CACHE_KEY: Form = Form::Reads(|text| reads(extauth::cache_key(text)));
pub(super) const AUDIENCES: Form = Form::Fits(|text| bearer::audiences(text).is_some(), "a list of audiences");
pub(super) const CLAIMS: Form = Form::Reads(|text| reads(bearer::claims(text)));
pub(super) const VISIBLE: Form = Form::Fits(bearer::is_visible, "the issuer of the tokens");
pub(super) const SECRET: Form = Form::Fits(
    |text| is_secret(text.split_once('/').map_or(text, |(_, name)| name)),
    "the name of a Secret in the namespace of the Ingress",
);
pub(super) const TOLD_NAMES: Form = Form::Reads(|text| reads(extauth::told_names(text)));
pub(super) const SIGN_IN: Form = Form::Fits(
    |text| SignIn::read(text, "rd").is_some(),
    "a URL or path, with the variables $host $http_host $scheme $request_uri $escaped_request_uri",
);
pub(super) const COMMON_NAME: Form = Form::Reads(|text| reads(mutual::common_name(text)));
pub(super) const SERVICE_URL: Form = Form::Fits(
    |text| extauth::service(text).is_some(),
    "a URL of a Service, http or https, such as http://auth.NAMESPACE.svc.cluster.local/check",
);
pub(super) const MIRROR: Form = Form::Fits(
    |text| mirror::place(text).is_some(),
    "a URL of a Service, http or https, such as http://copy.NAMESPACE.svc.cluster.local$request_uri",
);
pub(super) const FIELD: Form =
    Form::Fits(|text| HeaderName::from_bytes(text.as_bytes()).is_ok(), "the name of a header");
pub(super) const PATTERN: Form = Form::Reads(|text| reads(delivery::pattern(text)));
pub(super) const SHARES: Form = Form::Reads(|text| reads(text.parse::<Shares>()));
pub(super) const HASH_KEY: Form = Form::Reads(|text| reads(text.parse::<HashKey>()));
pub(super) const RETRIES: Form = Form::Reads(|text| reads(text.parse::<Retries>()));
pub(super) const PLAIN_SNIPPET: Form = Form::Reads(|text| reads(snippet::parse(text)));
pub(super) const METHODS: Form = Form::Fits(group::are_methods, "a list of methods");
pub(super) const ORIGINS: Form =
    Form::Fits(|text| group::origins(text).1 == 0, "a list of origins such as https://*.example.com");
pub(super) const STATUSES: Form =
    Form::Fits(|text| group::statuses(text).is_some(), "a list of statuses from 400 to 599");
pub(super) const SERVICE: Form = Form::Fits(group::is_service, "the name of a Service in the namespace of the Ingress");
pub(super) const CHECK_PATH: Form = Form::Reads(|text| reads(HealthCheck::new(text)));
pub(super) const SWITCH: Form = Form::Words(&["on", "off"]);
pub(super) const FROM_TO: Form = Form::Fits(
    |text| text == "off" || group::from_to(text).is_some(),
    "two words, from what to what, without patterns and variables",
);
pub(super) const TLS_VERSIONS: Form =
    Form::Fits(|text| endpoints::versions(text).is_some(), "a list with TLSv1.2 or TLSv1.3");
pub(super) const REWRITE: Form = Form::Fits(|text| group::rewrite(text).is_some(), "a path with groups $1 to $9");
pub(super) const ALIASES: Form =
    Form::Fits(|text| group::aliases_of(text).1 == 0, "a list of host names; patterns are not supported");
pub(super) const DOMAIN: Form =
    Form::Reads(|text| reads(Affinity::new(CookieSettings { domain: Some(text), ..CookieSettings::default() })));
pub(super) const COOKIE_PATH: Form =
    Form::Reads(|text| reads(Affinity::new(CookieSettings { path: Some(text), ..CookieSettings::default() })));
