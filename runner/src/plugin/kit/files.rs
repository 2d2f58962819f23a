//! What `packhorse plugin new` writes, from inside the program: gathered by the build script from `sdk`.

include!(concat!(env!("OUT_DIR"), "/kit_files.rs"));

/// The contract.
pub(super) const WIT: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../sdk/wit/codec.wit"));

/// Names, as they stand in templates, put in.
pub(super) fn filled(text: &str, name: &str) -> String {
    text.replace("{{name}}", name).replace("{{crate}}", &name.replace('-', "_"))
}
