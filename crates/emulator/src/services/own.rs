//! The emulator's own requests: what there is no AWS service for, since there it happens by itself.

use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::deliveries::{Deliveries, FireError};
use crate::http_server::{Answer, header_text, json as json_answer};
use crate::queues::QueueError;

/// Where they are.
pub(super) const PREFIX: &str = "/emulator/";

/// Answers one.
pub(super) fn answer(deliveries: &Deliveries, head: &Parts) -> Answer {
    if may_be_a_web_page(&head.headers) {
        return refused(StatusCode::FORBIDDEN, "web pages may not do this");
    }
    let path = head.uri.path().strip_prefix(PREFIX).unwrap_or_default();
    let decoded = |name: &str| percent_decode_str(name).decode_utf8_lossy().into_owned();
    let parts: Vec<String> = path.split('/').map(decoded).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    match (&head.method, &parts[..]) {
        (&Method::GET, ["schedules"]) => {
            json_answer(StatusCode::OK, &json!({ "schedules": deliveries.listed() }))
        }
        (&Method::GET, ["queues", name]) => queue(deliveries, name),
        (&Method::POST, ["schedules", name, "fire"]) => fire(deliveries, name, head.uri.query()),
        (&Method::POST, ["schedules", group, name, "fire"]) => {
            fire(deliveries, &format!("{group}/{name}"), head.uri.query())
        }
        (method, _) => {
            let path = head.uri.path();
            refused(StatusCode::NOT_FOUND, &format!("the emulator has no request {method} {path}"))
        }
    }
}

/// A browser names the page's origin, and a page that was made to resolve to this machine has another host's name.
fn may_be_a_web_page(headers: &HeaderMap) -> bool {
    let host = header_text(headers, "host").unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let is_address = name.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
    headers.contains_key("origin") || !(is_address || name == "localhost")
}

fn fire(deliveries: &Deliveries, name: &str, query: Option<&str>) -> Answer {
    let at = query.into_iter().flat_map(|query| query.split('&')).find_map(|pair| pair.strip_prefix("at="));
    let at = match at.map(|at| percent_decode_str(at).decode_utf8_lossy().into_owned()) {
        None => OffsetDateTime::now_utc(),
        Some(text) => match OffsetDateTime::parse(&text, &Rfc3339) {
            Ok(at) => at,
            Err(_) => {
                let message = format!("`{text}` is no time such as 2026-11-22T03:00:00Z");
                return refused(StatusCode::BAD_REQUEST, &message);
            }
        },
    };
    match deliveries.fire(name, at) {
        Ok(fired) => json_answer(StatusCode::ACCEPTED, &json!(fired)),
        Err(error) => {
            let status = match error {
                FireError::NoSuchSchedule { .. } => StatusCode::NOT_FOUND,
                FireError::Ambiguous { .. } => StatusCode::CONFLICT,
                FireError::NotTold { .. } => StatusCode::BAD_GATEWAY,
            };
            refused(status, &chain(&error))
        }
    }
}

fn queue(deliveries: &Deliveries, name: &str) -> Answer {
    match deliveries.queues.messages(name) {
        Ok(messages) => json_answer(StatusCode::OK, &json!({ "messages": messages })),
        Err(error @ QueueError::NoSuchQueue(_)) => refused(StatusCode::NOT_FOUND, &error.to_string()),
        Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, &chain(&error)),
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

fn refused(status: StatusCode, message: &str) -> Answer {
    json_answer(status, &json!({ "message": message }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn web_pages_are_told_from_programs_of_this_machine() {
        let headers = |host: &str, origin: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert("host", host.parse().unwrap());
            if let Some(origin) = origin {
                headers.insert("origin", origin.parse().unwrap());
            }
            headers
        };
        for host in ["127.0.0.1:9001", "localhost:9001", "localhost", "[::1]:9001"] {
            assert!(!may_be_a_web_page(&headers(host, None)), "{host}");
            assert!(may_be_a_web_page(&headers(host, Some("http://page.example"))), "{host}");
        }
        assert!(may_be_a_web_page(&headers("page.example:9001", None)));
        assert!(may_be_a_web_page(&HeaderMap::new()));
    }
}
