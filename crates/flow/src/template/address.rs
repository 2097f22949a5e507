//! Addresses with placeholders.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Braced, Piece, Values, fill_address, pieces};
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
        let pieces = pieces(&self.0.key);
        if pieces.first().is_some_and(|piece| placeholder(piece) == Some("object_key")) {
            return true;
        }
        let own: String = pieces.iter().map_while(literal).collect();
        own.starts_with(prefix)
    }

    /// Whether the key ends with `suffix` whatever the placeholders stand for, but that an object's key and name do.
    pub(crate) fn surely_ends(&self, suffix: &str) -> bool {
        let pieces = pieces(&self.0.key);
        if pieces.last().is_some_and(|piece| matches!(placeholder(piece), Some("object_key" | "object_name")))
        {
            return true;
        }
        let mut own: Vec<String> = pieces.iter().rev().map_while(literal).collect();
        own.reverse();
        own.concat().ends_with(suffix)
    }

    /// The one object that this is the address of, in this run.
    pub fn filled(&self, values: &Values<'_>) -> ObjectUri {
        ObjectUri::new(fill_address(&self.0.bucket, values), fill_address(&self.0.key, values))
    }

    /// The objects that this is the address of in this run, as a source's. `*`, `?`, brackets, and braces with a comma make a
    /// glob of it; then backslashes have a meaning too. What placeholders stand for is never part of a glob: a key that
    /// holds stars stays one key.
    pub fn selected(&self, values: &Values<'_>) -> Selection {
        let pieces = pieces(&self.0.key);
        if is_glob(&pieces) {
            let bucket = fill_address(&self.0.bucket, values);
            let (glob, beginning) = glob(&pieces, values);
            return Selection::Matching { glob: ObjectUri::new(bucket, glob), beginning };
        }
        match pieces.last() {
            Some(Piece::Text(text)) if text.ends_with('/') => Selection::Under(self.filled(values)),
            Some(Piece::Text(_) | Piece::Braced(_)) => Selection::One(self.filled(values)),
            None => Selection::Under(self.filled(values)),
        }
    }
}

/// The placeholder that a piece is, if it is one.
fn placeholder<'t>(piece: &Piece<'t>) -> Option<&'t str> {
    match piece {
        Piece::Braced(braced) if !braced.is_escaped() => Some(braced.name),
        Piece::Braced(_) | Piece::Text(_) => None,
    }
}

/// What a piece stands for in every run; nothing for a placeholder.
fn literal(piece: &Piece<'_>) -> Option<String> {
    match piece {
        Piece::Text(text) => Some((*text).to_owned()),
        Piece::Braced(Braced { backslashes, name }) if backslashes % 2 == 1 => {
            Some(format!("{}{{{name}}}", "\\".repeat(backslashes / 2)))
        }
        Piece::Braced(_) => None,
    }
}

/// Whether the job's own text makes a glob: a star, a question mark, something in brackets, or alternatives in braces. In a prefix,
/// which ends with a slash, brackets are letters.
fn is_glob(pieces: &[Piece<'_>]) -> bool {
    let is_prefix = matches!(pieces.last(), Some(Piece::Text(text)) if text.ends_with('/'));
    let mut has_bracket = false;
    pieces.iter().any(|piece| {
        let text = match piece {
            Piece::Text(text) => text,
            Piece::Braced(braced) if is_of_a_glob(braced.name) => {
                if braced.name.contains(',') && !braced.is_escaped() {
                    return true;
                }
                braced.name
            }
            Piece::Braced(_) => "",
        };
        has_bracket |= text.contains('[');
        text.contains(['*', '?']) || !is_prefix && has_bracket && text.contains(']')
    })
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
        match piece {
            Piece::Text(text) => {
                glob.push_str(text);
                let plain = text.find(['*', '?', '[', '{', '\\']);
                if literal {
                    beginning.push_str(&text[..plain.unwrap_or(text.len())]);
                }
                literal &= plain.is_none();
            }
            Piece::Braced(braced) if is_of_a_glob(braced.name) => {
                glob.push_str(&braced.to_string());
                literal = false;
            }
            // A glob halves backslashes itself.
            Piece::Braced(Braced { backslashes, name }) => {
                let single = Braced { backslashes: backslashes % 2, name };
                let value = single.filled(values);
                glob.push_str(&"\\".repeat(backslashes - backslashes % 2));
                glob.push_str(&escaped(&value));
                literal &= *backslashes < 2;
                if literal {
                    beginning.push_str(&value);
                }
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
        assert_eq!(selected("s3://in/x{a,b}", "k"), glob("x{a,b}", "x"));
        assert_eq!(selected("s3://in/x[ab].csv", "k"), glob("x[ab].csv", "x"));
        assert_eq!(selected("s3://in/x\\[1\\]", "k"), glob("x\\[1\\]", "x"));
        assert_eq!(selected("s3://in/x[1", "k"), one("in", "x[1"));
    }

    #[test]
    fn a_keys_own_braces_are_written_with_a_backslash() {
        for written in ["\\{name}", "\\{name\\}"] {
            assert_eq!(selected(&format!("s3://in/{written}.csv"), "k"), one("in", "{name}.csv"));
        }
        let matching = selected("s3://in/\\{name}/{name}*", "k");
        let glob = ObjectUri::new("in", "\\{name\\}/n*");
        assert_eq!(matching, Selection::Matching { glob, beginning: "{name}/n".to_owned() });
        let output: UriTemplate = "s3://in/\\{name}/x".parse().unwrap();
        assert!(output.surely_begins("{name}/") && !output.surely_begins("n"));
        assert!(output.surely_ends("}/x") && !output.surely_ends("y"));
    }

    #[test]
    fn a_slash_at_the_end_of_the_job_s_own_text_means_all_below() {
        let under = |key: &str| Selection::Under(ObjectUri::new("in", key));
        assert_eq!(selected("s3://in", "k"), under(""));
        assert_eq!(selected("s3://in/{object_name}/", "a/k"), under("k/"));
    }
}
