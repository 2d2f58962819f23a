//! What `wit-bindgen` makes of `wit/codec.wit`. Vendors never name anything in here.
//!
//! Both worlds are bound: the types and the exported functions come from the one with a device side, and the one without adds
//! only its description to the module, which is true of every codec, as every codec has a platform side.

/// The world with a device side, whose types the whole crate uses.
pub mod with_device {
    wit_bindgen::generate!({
        world: "codec-with-device",
        path: "wit",
        pub_export_macro: true,
        export_macro_name: "export_codec_with_device",
        default_bindings_module: "packhorse_codec::bindings::with_device",
        additional_derives: [PartialEq, Eq, Clone],
        generate_unused_types: true,
    });
}

/// The world without one.
pub mod platform_only {
    wit_bindgen::generate!({
        world: "codec",
        path: "wit",
        type_section_suffix: "platform-only",
    });
}
