//! From an answer to bytes: which of the formats that the client accepts, and in it the answer.
//!
//! The formats themselves are the wire's; this is where verbs meet them.

mod frame;
mod view;

pub(crate) use frame::FrameStyle;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use crate::answer::{self, Answer, ListAnswer};
use crate::body::Body;
use crate::call::Call;
use crate::convert;
use crate::error::ApiError;
use crate::verb::review;
use crate::wire::negotiate::{self, Accepted, Convert, Encoding, MetaVersion};
use crate::wire::table::{partial, table};
use crate::wire::yaml;
use view::TableView;

/// The style of a watch's frames.
///
/// # Errors
/// 406 where the client accepts none that can be streamed; 400 for a bad `includeObject`.
pub(crate) fn watch_style(call: &Call) -> Result<FrameStyle, ApiError> {
    let accepted = accepted(call)?;
    if accepted.encoding == Encoding::Yaml {
        return Err(ApiError::NotAcceptable("application/json;stream=watch".to_owned()));
    }
    Ok(match accepted.convert {
        Some(Convert::Table(version)) => FrameStyle::table(version, TableView::new(call)?),
        Some(Convert::Partial(version) | Convert::PartialList(version)) => FrameStyle::partial(version),
        Some(Convert::Discovery) | None if convert::is_view(&call.kind) => {
            FrameStyle::converted(call.kind.clone(), call.stored.clone())
        }
        Some(Convert::Discovery) | None => FrameStyle::plain(call.kind.clone()),
    })
}

/// Writes an answer in a format that the client accepts.
///
/// # Errors
/// 406 where there is none; 400 for a bad `includeObject`.
pub(crate) fn render(call: &Call, answer: Answer) -> Result<Response<Body>, ApiError> {
    let accepted = accepted(call);
    let (accepted, code, json): (Accepted, StatusCode, Bytes) = match answer {
        // What is complete has its format already, whatever else the client would accept.
        Answer::Response(response) => return Ok(response),
        Answer::Object(object) => {
            let accepted = accepted?;
            (accepted, object.code, convert_object(call, accepted, object.json)?)
        }
        Answer::List(list) => {
            let accepted = accepted?;
            match converted_list(call, accepted, &list)? {
                Some(json) => (accepted, StatusCode::OK, json),
                None => return streamed_list(accepted, list),
            }
        }
        Answer::Status(status) => (accepted?, StatusCode::OK, status.to_json().into()),
    };
    Ok(encode(accepted, code, json))
}

/// What the client accepts of what this request can be answered with.
///
/// # Errors
/// 406 where that is nothing.
pub(crate) fn accepted(call: &Call) -> Result<Accepted, ApiError> {
    let text = |name: header::HeaderName| call.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    let converts = !review::is_review(&call.kind);
    let allows = |convert: Convert| converts && negotiate::object_conversions(convert);
    let mut accepted = negotiate::accept(text(header::ACCEPT), allows)
        .map_err(|_| ApiError::NotAcceptable(negotiate::PRODUCED.to_owned()))?;
    accepted.pretty |= negotiate::wants_pretty(call.query.get("pretty"), text(header::USER_AGENT));
    Ok(accepted)
}

fn convert_object(call: &Call, accepted: Accepted, json: Bytes) -> Result<Bytes, ApiError> {
    let json = if convert::is_view(&call.kind) {
        let mut object = parsed(&json);
        convert::from_stored(&call.kind, &call.stored, &mut object);
        crate::json::canonical(&object).into()
    } else {
        json
    };
    let converted = match accepted.convert {
        None | Some(Convert::Discovery) => return Ok(json),
        Some(Convert::Table(version)) => {
            let object = parsed(&json);
            let view = TableView::new(call)?;
            let metadata = json!({"resourceVersion": crate::object::meta_text(&object, "resourceVersion")});
            table(version, &metadata, &view.columns(), &[view.row(&object)])
        }
        Some(Convert::Partial(version) | Convert::PartialList(version)) => partial(version, &parsed(&json)),
    };
    Ok(crate::json::to_vec(&converted).into())
}

/// A list in another form than its own; none where its own is wanted.
fn converted_list(call: &Call, accepted: Accepted, list: &ListAnswer) -> Result<Option<Bytes>, ApiError> {
    let converted = match accepted.convert {
        None | Some(Convert::Discovery) => return Ok(None),
        Some(Convert::Table(version)) => {
            let view = TableView::new(call)?;
            let rows: Vec<Value> = list.values().map(|object| view.row(&object)).collect();
            table(version, &list.metadata(), &view.columns(), &rows)
        }
        Some(Convert::Partial(version) | Convert::PartialList(version)) => partial_list(version, list),
    };
    Ok(Some(crate::json::to_vec(&converted).into()))
}

/// A list as plain JSON goes out as it is made; what is read by people is made whole.
fn streamed_list(accepted: Accepted, list: ListAnswer) -> Result<Response<Body>, ApiError> {
    let body = list.into_body();
    if accepted.encoding == Encoding::Json && !accepted.pretty {
        return Ok(answer::json_body(StatusCode::OK, body));
    }
    let length = body.length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    let mut json = Vec::with_capacity(length);
    let pieces = body.into_pieces().map_err(|_| ApiError::Internal("a list has an end".to_owned()))?;
    pieces.for_each(|piece| json.extend_from_slice(&piece));
    Ok(encode(accepted, StatusCode::OK, json.into()))
}

fn partial_list(version: MetaVersion, list: &ListAnswer) -> Value {
    let items: Vec<Value> = list.items.iter().map(|entry| partial(version, &view::metadata_of(entry))).collect();
    json!({
        "kind": "PartialObjectMetadataList",
        "apiVersion": version.api_version(),
        "metadata": list.metadata(),
        "items": items,
    })
}

fn parsed(json: &[u8]) -> Value {
    serde_json::from_slice(json).expect("answers are valid JSON")
}

fn encode(accepted: Accepted, code: StatusCode, json: Bytes) -> Response<Body> {
    match accepted.encoding {
        Encoding::Yaml => {
            let mut response = answer::json(code, yaml::render(&parsed(&json)));
            let yaml = HeaderValue::from_static("application/yaml");
            response.headers_mut().insert(header::CONTENT_TYPE, yaml);
            response
        }
        Encoding::Json if accepted.pretty => {
            let mut text = serde_json::to_vec_pretty(&parsed(&json)).expect("JSON values serialise");
            text.push(b'\n');
            answer::json(code, text)
        }
        Encoding::Json => answer::json(code, json),
    }
}
