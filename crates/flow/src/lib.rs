//! The nouns of Fanfold, pure.
pub mod crc;
pub mod limits;
pub mod uri;
