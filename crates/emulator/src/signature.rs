//! Signature Version 4 of requests to every service but S3: verified in full, so that a client that would be refused by
//! AWS is refused here. Rules: "Create a signed AWS API request" in the IAM user guide.

use http::HeaderMap;
use http::request::Parts;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest, Sha256};
use time::format_description::FormatItem;
use time::macros::format_description;
use time::{Duration, OffsetDateTime, PrimitiveDateTime};

use crate::http_server::header_text;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// How far a caller's clock may be off.
const CLOCK_SKEW: Duration = Duration::minutes(5);
const AMZ_DATE: &[FormatItem<'static>] = format_description!("[year][month][day]T[hour][minute][second]Z");
/// All but the unreserved characters of RFC 3986.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const ESCAPED_IN_PATH: &AsciiSet = &ESCAPED.remove(b'/');

/// The one key that is let in.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
    pub(crate) region: String,
}

/// A request that is not let in: 403, with the code that AWS gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl Refused {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

struct Authorization<'header> {
    access_key_id: &'header str,
    /// `date/region/service/aws4_request`.
    scope: &'header str,
    signed_headers: Vec<&'header str>,
    signature: &'header str,
}

/// The access key id that a request claims to be signed with. Nothing is checked.
pub(crate) fn claimed_key(headers: &HeaderMap) -> Option<&str> {
    Some(parse(header_text(headers, "authorization")?)?.access_key_id)
}

impl Credentials {
    /// Checks who sent a request to `service`, by its signing name.
    ///
    /// # Errors
    /// No signature, an unknown key, a wrong signature, or one out of its time.
    pub(crate) fn verify(
        &self,
        service: &str,
        head: &Parts,
        body: &[u8],
        now: OffsetDateTime,
    ) -> Result<(), Refused> {
        let header = header_text(&head.headers, "authorization").ok_or_else(|| {
            Refused::new("MissingAuthenticationTokenException", "Missing Authentication Token")
        })?;
        let authorization = parse(header).ok_or_else(|| {
            incomplete(&format!(
                "the Authorization header is not `{ALGORITHM} Credential=.., SignedHeaders=.., Signature=..`"
            ))
        })?;
        if authorization.access_key_id != self.access_key_id {
            return Err(Refused::new(
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
            ));
        }
        let date =
            header_text(&head.headers, "x-amz-date").ok_or_else(|| incomplete("X-Amz-Date is missing"))?;
        let signed_at = PrimitiveDateTime::parse(date, AMZ_DATE)
            .map_err(|_| incomplete("X-Amz-Date is not of the form 20260101T000000Z"))?
            .assume_utc();
        if (now - signed_at).abs() > CLOCK_SKEW {
            return Err(invalid(format!(
                "Signature expired: {date} is more than 5 minutes off the server's time"
            )));
        }
        let day = date.get(..8).unwrap_or_default();
        let scope = format!("{day}/{}/{service}/aws4_request", self.region);
        if authorization.scope != scope {
            return Err(invalid(format!("Credential should be scoped to {scope}")));
        }
        if !["host", "x-amz-date"].iter().all(|name| authorization.signed_headers.contains(name)) {
            return Err(invalid("the headers host and x-amz-date must be signed".to_owned()));
        }
        let canonical = canonical_request(head, &authorization.signed_headers, body);
        let text = format!("{ALGORITHM}\n{date}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
        let signature = hex(&hmac(&self.signing_key(day, service), text.as_bytes()));
        // Not compared in constant time: the key guards nothing on this machine.
        if signature != authorization.signature {
            return Err(invalid(
                "The request signature we calculated does not match the signature you provided. \
                 Check your AWS Secret Access Key and signing method."
                    .to_owned(),
            ));
        }
        Ok(())
    }

    fn signing_key(&self, day: &str, service: &str) -> [u8; 32] {
        let secret = format!("AWS4{}", self.secret_access_key);
        let parts = [day, &self.region, service, "aws4_request"];
        let first = hmac(secret.as_bytes(), parts[0].as_bytes());
        parts[1..].iter().fold(first, |key, part| hmac(&key, part.as_bytes()))
    }
}

fn incomplete(message: &str) -> Refused {
    Refused::new("IncompleteSignatureException", message)
}

fn invalid(message: String) -> Refused {
    Refused::new("InvalidSignatureException", message)
}

fn parse(header: &str) -> Option<Authorization<'_>> {
    let fields = header.strip_prefix(ALGORITHM)?;
    let field =
        |name: &str| fields.split(',').find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='));
    let (access_key_id, scope) = field("Credential")?.split_once('/')?;
    Some(Authorization {
        access_key_id,
        scope,
        signed_headers: field("SignedHeaders")?.split(';').collect(),
        signature: field("Signature")?,
    })
}

fn canonical_request(head: &Parts, signed_headers: &[&str], body: &[u8]) -> String {
    // Every service but S3 has the path as sent encoded once more.
    let path = utf8_percent_encode(head.uri.path(), ESCAPED_IN_PATH);
    let headers: String = signed_headers
        .iter()
        .map(|name| format!("{name}:{}\n", canonical_header(&head.headers, name)))
        .collect();
    format!(
        "{}\n{path}\n{}\n{headers}\n{}\n{}",
        head.method,
        canonical_query(head.uri.query().unwrap_or_default()),
        signed_headers.join(";"),
        hex(&Sha256::digest(body)),
    )
}

fn canonical_header(headers: &HeaderMap, name: &str) -> String {
    let values = headers.get_all(name).iter().map(|value| {
        let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    });
    values.collect::<Vec<_>>().join(",")
}

fn canonical_query(query: &str) -> String {
    let encode = |text: &str| {
        let decoded: Vec<u8> = percent_decode_str(text).collect();
        percent_encoding::percent_encode(&decoded, ESCAPED).to_string()
    };
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (encode(name), encode(value)))
        .collect();
    pairs.sort();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// HMAC-SHA256 by RFC 2104; a dozen lines over the hash that is here anyway.
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    const BLOCK: usize = 64;
    let mut block = [0_u8; BLOCK];
    if key.len() > BLOCK {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn hmac_gives_the_vectors_of_rfc_4231() {
        let cases: [(Vec<u8>, &[u8], &str); 2] = [
            (
                b"Jefe".to_vec(),
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                vec![0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ];
        for (key, message, expected) in cases {
            assert_eq!(hex(&hmac(&key, message)), expected);
        }
    }

    #[test]
    fn a_signature_out_of_its_time_or_place_is_refused() {
        let credentials =
            Credentials { access_key_id: "AK".into(), secret_access_key: "SK".into(), region: "r".into() };
        let verify = |scope: &str, minutes: i64| {
            let authorization =
                format!("{ALGORITHM} Credential=AK/{scope}, SignedHeaders=host;x-amz-date, Signature=00");
            let request = http::Request::get("/")
                .header("authorization", authorization)
                .header("x-amz-date", "20261122T120000Z");
            let (head, ()) = request.body(()).unwrap().into_parts();
            let now = datetime!(2026-11-22 12:00 UTC) + Duration::minutes(minutes);
            format!("{:?}", credentials.verify("lambda", &head, b"", now).unwrap_err())
        };
        let scope = "20261122/r/lambda/aws4_request";
        for minutes in [-6, 6] {
            assert!(verify(scope, minutes).contains("Signature expired"));
        }
        assert!(verify("20261122/elsewhere/lambda/aws4_request", 5).contains("should be scoped to"));
        assert!(
            verify(scope, 5).contains("does not match"),
            "in time and place, it is the signature that is wrong"
        );
    }

    #[test]
    fn a_query_is_sorted_and_encoded_once() {
        assert_eq!(canonical_query("b=2&a=%24LATEST&a&c=x+y"), "a=&a=%24LATEST&b=2&c=x%2By");
    }

    #[test]
    fn a_header_that_is_no_signature_is_not_parsed() {
        assert!(parse("Bearer x").is_none());
        assert!(parse("AWS4-HMAC-SHA256 Credential=a/b, Signature=c").is_none());
        let good = parse(
            "AWS4-HMAC-SHA256 Credential=AK/d/r/s/aws4_request, SignedHeaders=host;x-amz-date, Signature=00",
        );
        assert_eq!(
            good.map(|parsed| (parsed.access_key_id, parsed.scope)),
            Some(("AK", "d/r/s/aws4_request"))
        );
    }
}
