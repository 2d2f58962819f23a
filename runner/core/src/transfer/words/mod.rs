//! The words of a conversation between a platform and a device: the core's twin of the codec contract (`sdk/wit`).
//!
//! * `conversation`: what both ends say; `codec`: what a codec is, and what its calls take and give.

mod codec;
mod conversation;

pub use codec::*;
pub use conversation::*;
