//! ETags: what they are made of, and what is known about the one of a body.

use std::fmt;

use s3s::crypto::{Checksum as _, Md5};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::checksum::Md5Sum;

/// What a server makes the ETags of new bodies of. A client cannot tell the two apart by their looks, and S3 promises no
/// more than that an ETag changes with the bytes: objects that are encrypted by SSE-KMS have ETags that are not MD5s.
/// Source: API reference of S3, "Object", `ETag`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ETags {
    /// The MD5 of what is put at once, the MD5 of the parts' MD5s behind an upload: S3 without SSE-KMS.
    #[default]
    Md5,
    /// Random, as good as those of S3 with SSE-KMS. MD5 takes longer than all else that is done to a body, and here none is
    /// computed, unless a client sends one to be verified.
    Opaque,
}

/// What a journal writes before the digits of an ETag that is no MD5.
const OPAQUE: &str = "opaque-";

/// The ETag of a body: 128 bits, which clients see as 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntityTag {
    /// The body's MD5.
    Md5(Md5Sum),
    /// Random bits.
    Opaque(u128),
}

impl EntityTag {
    /// One that nothing else has.
    pub(crate) fn random() -> Self {
        Self::Opaque(uuid::Uuid::new_v4().as_u128())
    }

    /// Whether it may be that of another body with the same bytes, under these ETags.
    pub(crate) fn suits_a_copy(self, etags: ETags) -> bool {
        etags == ETags::Opaque || matches!(self, Self::Md5(_))
    }

    fn bytes(self) -> [u8; 16] {
        match self {
            Self::Md5(md5) => md5.0,
            Self::Opaque(bits) => bits.to_be_bytes(),
        }
    }
}

impl fmt::Display for EntityTag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        Md5Sum(self.bytes()).fmt(formatter)
    }
}

impl Serialize for EntityTag {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Md5(md5) => md5.serialize(serializer),
            Self::Opaque(_) => serializer.collect_str(&format_args!("{OPAQUE}{self}")),
        }
    }
}

impl<'de> Deserialize<'de> for EntityTag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let (opaque, digits) = text.strip_prefix(OPAQUE).map_or((false, &*text), |digits| (true, digits));
        let bits = u128::from_str_radix(digits, 16).map_err(serde::de::Error::custom)?;
        Ok(if opaque { Self::Opaque(bits) } else { Self::Md5(Md5Sum(bits.to_be_bytes())) })
    }
}

/// The ETag of a multipart object: the MD5 of the parts' ETags, and how many there are. Over opaque ones that is as opaque
/// as they are.
pub(crate) fn multipart_etag(parts: impl Iterator<Item = EntityTag>) -> String {
    let mut count = 0_usize;
    let mut hasher = Md5::new();
    for part in parts {
        count += 1;
        hasher.update(&part.bytes());
    }
    format!("{}-{count}", Md5Sum(hasher.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_etag_is_read_from_a_journal_as_it_was_written_and_md5s_as_they_always_were() {
        for etag in [EntityTag::Md5(Md5Sum([7; 16])), EntityTag::Opaque(9), EntityTag::random()] {
            let text = serde_json::to_string(&etag).unwrap();
            assert_eq!(serde_json::from_str::<EntityTag>(&text).unwrap(), etag, "{text}");
        }
        let digits = "\"00000000000000000000000000000009\"";
        let md5: EntityTag = serde_json::from_str(digits).unwrap();
        assert_eq!(md5, EntityTag::Md5(Md5Sum(9_u128.to_be_bytes())));
        assert_eq!(serde_json::to_string(&md5).unwrap(), digits);
    }

    #[test]
    fn no_two_opaque_etags_are_the_same_and_all_look_like_those_of_s3() {
        let (one, other) = (EntityTag::random(), EntityTag::random());
        assert_ne!(one.to_string(), other.to_string());
        assert!(
            one.to_string().bytes().all(|digit| digit.is_ascii_hexdigit()) && one.to_string().len() == 32
        );
        assert!(!one.suits_a_copy(ETags::Md5), "an opaque ETag must not pass for an MD5");
    }
}
