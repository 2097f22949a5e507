//! CloudFormation's `DescribeStacks`, with the outputs of the one stack there is: the Query protocol, XML back.

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use http_body_util::Full;
use percent_encoding::percent_decode_str;

use super::Stack;
use crate::events::timestamp;
use crate::http_server::Answer;
use crate::signature::Refused;

const NAMESPACE: &str = "http://cloudformation.amazonaws.com/doc/2010-05-15/";

/// Answers a request of the Query protocol.
pub(super) fn answer(stack: Option<&Stack>, body: &[u8]) -> Answer {
    let body = String::from_utf8_lossy(body);
    let field = |name: &str| fields(&body).find(|(field, _)| field == name).map(|(_, value)| value);
    let action = field("Action").unwrap_or_default();
    if action != "DescribeStacks" {
        let message = format!("the emulator has no operation {action}; it has DescribeStacks");
        return error(StatusCode::BAD_REQUEST, "InvalidAction", &message);
    }
    let wanted = field("StackName");
    let is_wanted =
        |stack: &&Stack| wanted.as_ref().is_none_or(|name| *name == stack.name || *name == stack.id);
    match (stack.filter(is_wanted), wanted) {
        (None, Some(wanted)) => error(
            StatusCode::BAD_REQUEST,
            "ValidationError",
            &format!("Stack with id {wanted} does not exist"),
        ),
        (found, _) => xml(StatusCode::OK, &description(found)),
    }
}

/// Answers a request that is not let in.
pub(super) fn refused(refused: &Refused) -> Answer {
    error(StatusCode::FORBIDDEN, refused.code, &refused.message)
}

fn description(stack: Option<&Stack>) -> String {
    let member = stack.map(|stack| {
        let outputs = stack.outputs.iter().map(|output| {
            let description = output.description.as_deref().map(|it| element("Description", it));
            let export = output.export.as_deref().map(|it| element("ExportName", it));
            format!(
                "<member>{}{}{}{}</member>",
                element("OutputKey", &output.key),
                element("OutputValue", &output.value),
                description.unwrap_or_default(),
                export.unwrap_or_default()
            )
        });
        let outputs = outputs.collect::<String>();
        let description = stack.description.as_deref().map(|it| element("Description", it));
        format!(
            "<member>{}{}{}{}{}<Outputs>{outputs}</Outputs></member>",
            element("StackName", &stack.name),
            element("StackId", &stack.id),
            description.unwrap_or_default(),
            element("CreationTime", &timestamp(stack.created)),
            element("StackStatus", "CREATE_COMPLETE"),
        )
    });
    let stacks = member.unwrap_or_default();
    format!(
        "<DescribeStacksResponse xmlns=\"{NAMESPACE}\"><DescribeStacksResult><Stacks>{stacks}</Stacks>\
         </DescribeStacksResult><ResponseMetadata>{}</ResponseMetadata></DescribeStacksResponse>",
        request_id()
    )
}

fn error(status: StatusCode, code: &str, message: &str) -> Answer {
    let text = format!(
        "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>Sender</Type>{}{}</Error>{}</ErrorResponse>",
        element("Code", code),
        element("Message", message),
        request_id()
    );
    xml(status, &text)
}

fn request_id() -> String {
    element("RequestId", &uuid::Uuid::new_v4().to_string())
}

fn xml(status: StatusCode, text: &str) -> Answer {
    let mut answer = Answer::new(Full::new(Bytes::copy_from_slice(text.as_bytes())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    answer
}

/// An element with a text, escaped.
fn element(name: &str, text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!("<{name}>{text}</{name}>")
}

/// The fields of a form.
fn fields(body: &str) -> impl Iterator<Item = (String, String)> {
    let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    body.split('&')
        .filter_map(|field| field.split_once('='))
        .map(move |(name, value)| (decode(name), decode(value)))
}
