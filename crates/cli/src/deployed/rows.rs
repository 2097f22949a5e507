//! Rows of facts below a headline, for people. Pure.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};

/// Adds a row.
pub(crate) fn row(text: &mut String, name: &str, value: impl Display) {
    // Writing to a string cannot fail.
    let _written = writeln!(text, "  {name:<10} {value}");
}

/// Adds a row for each link.
pub(crate) fn links(text: &mut String, links: &BTreeMap<String, String>) {
    for (name, url) in links {
        row(text, name, url);
    }
}
