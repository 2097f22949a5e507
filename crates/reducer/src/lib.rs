//! The reducer: chunk results become a concat plan and one output.
