//! What `wit-bindgen` makes of `sdk/wit/step`. Vendors name what the crate's root gives them.

wit_bindgen::generate!({
    world: "step",
    path: "../wit/step",
    pub_export_macro: true,
    export_macro_name: "export_step",
    default_bindings_module: "packhorse_step::bindings",
    additional_derives: [PartialEq, Eq, Clone],
    generate_all,
});
