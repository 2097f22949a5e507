//! What a reducer is to put together.

use std::fmt;

use fanfold_flow::keys::JobKeys;
use fanfold_flow::uri::ObjectUri;

/// What a reducer is to put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Goal {
    /// The job's output.
    Output,
    /// A [node](fanfold_flow::node) of it, by its number.
    Node(u32),
}

impl Goal {
    /// The goal that a reducer's payload names.
    pub fn of(node: Option<u32>) -> Self {
        node.map_or(Self::Output, Self::Node)
    }

    /// As a reducer's payload names it.
    pub fn node(self) -> Option<u32> {
        match self {
            Self::Output => None,
            Self::Node(number) => Some(number),
        }
    }

    /// Where the lease of whoever is at it is kept.
    pub fn lease(self, keys: &JobKeys) -> ObjectUri {
        match self {
            Self::Output => keys.lease(),
            Self::Node(number) => keys.node_lease(number),
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Output => f.write_str("the output"),
            Self::Node(number) => write!(f, "node {number} of the output"),
        }
    }
}
