#![doc = include_str!("../README.md")]

#[doc(hidden)]
pub mod bindings;
mod failure;
mod panic;

pub use bindings::packhorse::step::types::{Class, Error, Failure, Input};
pub use bindings::packhorse::step::{fastdfs, log, mqtt, redis};

/// Exports a step plugin: `step!(run);`, where `run` is a function of [`Input`] that gives the outputs as a JSON object, or a
/// [`Failure`].
///
/// Once per crate, whose `crate-type` contains `cdylib`. Built for anything but WebAssembly it only checks the types, and a host function
/// that is called panics.
#[macro_export]
macro_rules! step {
    ($run:path) => {
        const _: () = {
            struct Exported;
            impl $crate::private::Guest for Exported {
                fn run(input: $crate::Input) -> ::core::result::Result<::std::string::String, $crate::Failure> {
                    $crate::private::install();
                    $run(input)
                }
            }
            #[cfg(target_arch = "wasm32")]
    $crate::bindings::export_step!(Exported with_types_in $crate::bindings);
            // Natively nothing is exported, and nothing of the crate would be in use.
            #[cfg(not(target_arch = "wasm32"))]
            const _: fn($crate::Input) -> ::core::result::Result<::std::string::String, $crate::Failure> =
                <Exported as $crate::private::Guest>::run;
        };
    };
}

/// What the expansion of [`step!`] names; not for use by hand.
#[doc(hidden)]
pub mod private {
    pub use crate::bindings::exports::packhorse::step::entry::Guest;
    pub use crate::panic::install;
}
