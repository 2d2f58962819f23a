//! The one place that hands machine code to the engine unseen.

use wasmtime::Engine;
use wasmtime::component::Component;

/// Code whose MAC was found right: we compiled it, on this machine, as this user.
#[derive(Debug)]
pub(crate) struct OwnCode<'a>(&'a [u8]);

impl<'a> OwnCode<'a> {
    /// To be called only by what has just checked the MAC over `code`.
    pub(crate) const fn mac_was_checked(code: &'a [u8]) -> Self {
        Self(code)
    }

    /// Loads it. The engine refuses code of another version or configuration; the caller compiles again.
    #[expect(unsafe_code, reason = "compiled code cannot be checked, only trusted; the MAC is the trust")]
    pub(crate) fn load(self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: the bytes come from the compiler of this program: they bear a MAC, checked over this same buffer, which nobody else
        // holds, under a key that only this user can read (the cache's, a file 0600 in a folder 0700, both of our own uid) or that
        // only this process and the child know that it started for this one compile.
        unsafe { Component::deserialize(engine, self.0) }
    }
}
