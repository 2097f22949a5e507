//! Addresses with placeholders.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Piece, Values, fill, pieces};
use crate::uri::{ObjectUri, UriError};

/// An address that may hold placeholders: `s3://bucket/key`, or one that begins with `{object_uri}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UriTemplate(ObjectUri);

/// Which objects an address of a source means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// This one.
    One(ObjectUri),
    /// All whose keys begin with this one's key, which is empty or ends with `/`.
    Under(ObjectUri),
    /// Those that match a glob, in which `*` and `?` do not cross a `/`, `**` does, `[]` and `{}` mean what they do in a
    /// shell, and a backslash takes the next character for itself.
    Matching {
        /// The bucket, and the glob as its key.
        glob: ObjectUri,
        /// What all matching keys begin with.
        beginning: String,
    },
}

/// The placeholder that stands for a bucket and a key at once, in braces.
const OBJECT_URI: &str = "{object_uri}";

impl UriTemplate {
    /// The template of the bucket's name.
    pub(crate) fn bucket(&self) -> &str {
        &self.0.bucket
    }

    /// The template of the key.
    pub(crate) fn key(&self) -> &str {
        &self.0.key
    }

    /// Whether the key begins with `prefix` whatever the placeholders stand for, but that an object's key does.
    pub(crate) fn surely_begins(&self, prefix: &str) -> bool {
        match pieces(&self.0.key).first() {
            Some(Piece::Text(text)) => text.starts_with(prefix),
            Some(Piece::Placeholder("object_key")) => true,
            Some(Piece::Placeholder(_)) | None => prefix.is_empty(),
        }
    }

    /// Whether the key ends with `suffix` whatever the placeholders stand for, but that an object's key and name do.
    pub(crate) fn surely_ends(&self, suffix: &str) -> bool {
        match pieces(&self.0.key).last() {
            Some(Piece::Text(text)) => text.ends_with(suffix),
            Some(Piece::Placeholder("object_key" | "object_name")) => true,
            Some(Piece::Placeholder(_)) | None => suffix.is_empty(),
        }
    }

    /// The one object that this is the address of, in this run.
    pub fn filled(&self, values: &Values<'_>) -> ObjectUri {
        ObjectUri::new(fill(&self.0.bucket, values), fill(&self.0.key, values))
    }

    /// The objects that this is the address of in this run, as a source's. Only `*` and `?` make a glob of it; once they
    /// do, brackets, braces with a comma, and backslashes have a meaning too. What placeholders stand for is never part of
    /// a glob: a key that holds stars stays one key.
    pub fn selected(&self, values: &Values<'_>) -> Selection {
        let pieces = pieces(&self.0.key);
        let is_glob = pieces.iter().any(|piece| own(piece).contains(['*', '?']));
        if is_glob {
            let bucket = fill(&self.0.bucket, values);
            let (glob, beginning) = glob(&pieces, values);
            return Selection::Matching { glob: ObjectUri::new(bucket, glob), beginning };
        }
        match pieces.last() {
            Some(last) if !own(last).ends_with('/') => Selection::One(self.filled(values)),
            Some(_) | None => Selection::Under(self.filled(values)),
        }
    }
}

/// What a piece says itself: the glob's braces do, a placeholder does not.
fn own<'t>(piece: &Piece<'t>) -> &'t str {
    match piece {
        Piece::Text(text) => text,
        Piece::Placeholder(braced) if is_of_a_glob(braced) => braced,
        Piece::Placeholder(_) => "",
    }
}

/// Whether what stands between two braces is a glob's and no placeholder: alternatives, or braces that backslashes or
/// brackets take for themselves, as in `\{a\}` and `[{]a[}]`.
pub(super) fn is_of_a_glob(braced: &str) -> bool {
    braced.contains([',', '[', ']', '*', '?', '\\'])
}

/// The glob that these pieces make, and what all that matches begins with.
fn glob(pieces: &[Piece<'_>], values: &Values<'_>) -> (String, String) {
    let (mut glob, mut beginning, mut literal) = (String::new(), String::new(), true);
    for piece in pieces {
        let value = match piece {
            Piece::Text(_) => None,
            Piece::Placeholder(name) => values.get(name),
        };
        match (piece, value) {
            (_, Some(value)) => {
                glob.push_str(&escaped(&value));
                if literal {
                    beginning.push_str(&value);
                }
            }
            (Piece::Text(text), None) => {
                glob.push_str(text);
                let plain = text.find(['*', '?', '[', '{', '\\']);
                if literal {
                    beginning.push_str(&text[..plain.unwrap_or(text.len())]);
                }
                literal &= plain.is_none();
            }
            (Piece::Placeholder(braced), None) => {
                glob.push_str(&format!("{{{braced}}}"));
                literal = false;
            }
        }
    }
    (glob, beginning)
}

/// The glob that matches this text alone.
fn escaped(text: &str) -> String {
    let mut glob = String::with_capacity(text.len());
    for character in text.chars() {
        if "*?[]{}\\,".contains(character) {
            glob.push('\\');
        }
        glob.push(character);
    }
    glob
}

impl FromStr for UriTemplate {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        match text.strip_prefix(OBJECT_URI) {
            Some(rest) => Ok(Self(ObjectUri::new("{object_bucket}", format!("{{object_key}}{rest}")))),
            None => text.parse().map(Self),
        }
    }
}

impl TryFrom<String> for UriTemplate {
    type Error = UriError;

    fn try_from(text: String) -> Result<Self, UriError> {
        text.parse()
    }
}

impl From<UriTemplate> for String {
    fn from(template: UriTemplate) -> Self {
        template.to_string()
    }
}

impl fmt::Display for UriTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl JsonSchema for UriTemplate {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "UriTemplate".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "format": "s3-uri",
            "pattern": "^(s3://[^/]+(/.*)?|\\{object_uri\\}.*)$",
            "description": "an address such as s3://bucket/key",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::JobId;
    use crate::occasion::Occasion;

    fn selected(template: &str, key: &str) -> Selection {
        let job_id: JobId = "run-1".parse().unwrap();
        let occasion = Occasion { object: Some(ObjectUri::new("in", key)), ..Occasion::at(0) };
        let values = Values { job_id: &job_id, name: "n", occasion: &occasion };
        template.parse::<UriTemplate>().unwrap().selected(&values)
    }

    fn one(bucket: &str, key: &str) -> Selection {
        Selection::One(ObjectUri::new(bucket, key))
    }

    #[test]
    fn the_object_itself_is_one_object_whatever_its_key_looks_like() {
        for key in ["a.csv", "a*.csv", "a?[b]{c,d}\\", "folder/", "{job_id}", "*"] {
            assert_eq!(selected("{object_uri}", key), one("in", key));
            assert_eq!(selected("s3://b/x/{object_key}.gz", key), one("b", &format!("x/{key}.gz")));
        }
    }

    #[test]
    fn stars_of_the_job_make_a_glob_and_stars_of_the_object_do_not() {
        let glob = |key: &str, beginning: &str| Selection::Matching {
            glob: ObjectUri::new("in", key),
            beginning: beginning.to_owned(),
        };
        assert_eq!(selected("s3://in/{object_key}*", "a*[1]"), glob("a\\*\\[1\\]*", "a*[1]"));
        assert_eq!(
            selected("s3://in/{start_date}/{a,b{name}}-?", "k"),
            glob("1970-01-01/{a,bn}-?", "1970-01-01/")
        );
        assert_eq!(selected("s3://in/x{a,b}*", "k"), glob("x{a,b}*", "x"));
        assert_eq!(selected("s3://in/x\\{a\\}*", "k"), glob("x\\{a\\}*", "x"));
        assert_eq!(selected("s3://in/x{a,b}", "k"), one("in", "x{a,b}"), "no star, no glob");
    }

    #[test]
    fn a_slash_at_the_end_of_the_job_s_own_text_means_all_below() {
        let under = |key: &str| Selection::Under(ObjectUri::new("in", key));
        assert_eq!(selected("s3://in", "k"), under(""));
        assert_eq!(selected("s3://in/{object_name}/", "a/k"), under("k/"));
    }
}
