//! How done records become a complete job without a coordinator: commit, groups, and the reducer's start.
