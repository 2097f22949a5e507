//! How callers name a function: its name, a partial ARN or an ARN, each with an optional qualifier.

use std::fmt;

use crate::account::{ACCOUNT, function_arn};

/// The only version of a function that there is here.
pub(super) const LATEST: &str = "$LATEST";

/// A function as a caller named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// The bare name.
    pub(super) name: String,
    /// A version or alias, where one was given.
    pub(super) qualifier: Option<String>,
}

/// Why a text names no function of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NotAnAddress {
    /// It is neither a name nor an ARN.
    Malformed,
    /// It is an ARN of another region or account.
    Elsewhere,
}

impl Address {
    /// Reads a decoded path segment, and the `Qualifier` of the query string, which must not disagree with it.
    pub(super) fn parse(
        text: &str,
        query_qualifier: Option<&str>,
        region: &str,
    ) -> Result<Self, NotAnAddress> {
        let parts: Vec<&str> = text.split(':').collect();
        let (place, name, qualifier) = match parts[..] {
            [name] => (None, name, None),
            [name, qualifier] => (None, name, Some(qualifier)),
            [account, "function", name] => (Some((region, account)), name, None),
            [account, "function", name, qualifier] => (Some((region, account)), name, Some(qualifier)),
            ["arn", _, "lambda", place, account, "function", name] => (Some((place, account)), name, None),
            ["arn", _, "lambda", place, account, "function", name, qualifier] => {
                (Some((place, account)), name, Some(qualifier))
            }
            _ => return Err(NotAnAddress::Malformed),
        };
        if !is_function_name(name) {
            return Err(NotAnAddress::Malformed);
        }
        if place.is_some_and(|place| place != (region, ACCOUNT)) {
            return Err(NotAnAddress::Elsewhere);
        }
        let qualifier = match (qualifier, query_qualifier) {
            (Some(one), Some(other)) if one != other => return Err(NotAnAddress::Malformed),
            (one, other) => one.or(other).map(str::to_owned),
        };
        Ok(Self { name: name.to_owned(), qualifier })
    }

    /// The ARN by which it was called: with the qualifier if there was one.
    pub(super) fn arn(&self, region: &str) -> String {
        let arn = function_arn(region, &self.name);
        self.qualifier.as_ref().map_or_else(|| arn.clone(), |qualifier| format!("{arn}:{qualifier}"))
    }

    /// Whether the version asked for exists.
    pub(super) fn names_latest(&self) -> bool {
        self.qualifier.as_deref().is_none_or(|qualifier| qualifier == LATEST)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)?;
        self.qualifier.as_ref().map_or(Ok(()), |qualifier| write!(formatter, ":{qualifier}"))
    }
}

/// Whether Lambda would accept `name` for a function: 1 to 64 letters, digits, hyphens and underscores.
pub(super) fn is_function_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGION: &str = "eu-west-1";

    #[test]
    fn every_way_to_name_a_function_finds_it() {
        for text in [
            "worker",
            "000000000000:function:worker",
            "arn:aws:lambda:eu-west-1:000000000000:function:worker",
        ] {
            let bare = Address::parse(text, None, REGION).unwrap();
            assert_eq!((bare.name.as_str(), bare.qualifier.as_deref()), ("worker", None), "{text}");
            let text = format!("{text}:$LATEST");
            let qualified = Address::parse(&text, None, REGION).unwrap();
            assert_eq!(
                (qualified.name.as_str(), qualified.qualifier.as_deref()),
                ("worker", Some(LATEST)),
                "{text}"
            );
            assert_eq!(
                qualified.arn(REGION),
                "arn:aws:lambda:eu-west-1:000000000000:function:worker:$LATEST"
            );
        }
    }

    #[test]
    fn an_arn_of_another_place_is_not_taken_for_ours() {
        for text in [
            "arn:aws:lambda:us-east-1:000000000000:function:worker",
            "arn:aws:lambda:eu-west-1:123456789012:function:worker",
            "123456789012:function:worker",
        ] {
            assert_eq!(Address::parse(text, None, REGION), Err(NotAnAddress::Elsewhere), "{text}");
        }
    }

    #[test]
    fn what_is_no_name_is_malformed() {
        for text in ["", "a b", "a/b", "a:b:c", "arn:aws:s3:::bucket", &"x".repeat(65)] {
            assert_eq!(Address::parse(text, None, REGION), Err(NotAnAddress::Malformed), "{text}");
        }
        assert_eq!(Address::parse("worker:one", Some("two"), REGION), Err(NotAnAddress::Malformed));
    }
}
