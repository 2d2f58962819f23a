//! The plugin host, from outside: the codecs that travel with it, hostile guests, the compile cache, and building.
#![expect(clippy::unwrap_used, reason = "what cannot go on fails here, and says where")]

mod build;
mod cache;
mod codecs;
mod compiler;
mod corpus;
mod guest;
mod hostile;
mod profile;
