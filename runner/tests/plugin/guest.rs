//! Small guests written as WebAssembly text: an honest codec, of which a test replaces one thing.

use std::path::Path;

use wit_component::StringEncoding;
use wit_parser::Resolve;

/// Where the guest's allocator begins; what lies below is laid out here.
const HEAP: usize = 64 << 10;

/// A guest in the making: function bodies as text, and what it says of itself.
pub(crate) struct Guest {
    pub(crate) name: String,
    pub(crate) version: String,
    /// Who drives its one mode, as the contract numbers it.
    pub(crate) driver: u32,
    /// Templates of the routes: to the device, from it.
    pub(crate) routes: [String; 2],
    /// `packhorse:codec@VERSION`.
    pub(crate) contract: String,
    pub(crate) describe: String,
    pub(crate) open: String,
    pub(crate) decode: String,
    pub(crate) encode: String,
    pub(crate) save: String,
    /// More module fields: globals, functions, imports' callers, a start function.
    pub(crate) fields: String,
    /// Imports that the contract does not have, as WIT.
    pub(crate) imports: String,
    /// Bytes of memory pages at the start.
    pub(crate) pages: u32,
    pub(crate) image: Vec<u8>,
}

/// A returned record of zeros: empty lists, `dirty` false, `ok`.
pub(crate) const ZEROS: usize = 16;
/// A place for a record that a test lays out.
pub(crate) const RESULT: usize = 1024;

impl Guest {
    /// Translates nothing, and does no harm.
    pub(crate) fn honest() -> Self {
        let zeros = format!("(i32.const {ZEROS})");
        Self {
            name: "hostile".to_owned(),
            version: "0.1.0".to_owned(),
            driver: 0,
            routes: ["h/{device}/down/{+}".to_owned(), "h/{device}/up".to_owned()],
            contract: "1.0.0".to_owned(),
            describe: String::new(),
            open: zeros.clone(),
            decode: zeros.clone(),
            encode: zeros.clone(),
            save: zeros,
            fields: String::new(),
            imports: String::new(),
            pages: 2,
            image: vec![0; HEAP],
        }
    }

    pub(crate) fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::honest() }
    }

    /// Puts little-endian words at an address of the guest's memory.
    pub(crate) fn lay(mut self, at: usize, bytes: &[u8]) -> Self {
        self.image[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// As [`Guest::lay`], in words of 32 bits.
    pub(crate) fn words(self, at: usize, words: &[u32]) -> Self {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.lay(at, &bytes)
    }

    /// A core module that carries its contract, as a compiler gives it.
    pub(crate) fn module(mut self) -> Vec<u8> {
        if self.describe.is_empty() {
            self.describe = self.lay_description();
        }
        let module = wat::parse_str(self.text()).unwrap();
        self.with_contract(module)
    }

    /// The `description` record, after `RESULT`.
    fn lay_description(&mut self) -> String {
        let [record, routes, mode] = [8192, 8448, 8704];
        let mut texts = 10_000;
        let mut text = |image: &mut Vec<u8>, text: &str| {
            image[texts..texts + text.len()].copy_from_slice(text.as_bytes());
            let placed = [texts as u32, text.len() as u32];
            texts += text.len();
            placed
        };
        let image = &mut self.image;
        let name = text(image, &self.name);
        let version = text(image, &self.version);
        let [down, up] = [text(image, &self.routes[0]), text(image, &self.routes[1])];
        // flow, template, qos + retain
        let routes_words = [1, down[0], down[1], 1, 0, up[0], up[1], 1];
        // driver, min, max, default, align, grid + window-default, window-max, overheads, replies.., confirms.., file-max
        let mode_words = [self.driver, 1, 1024, 512, 1, 1 << 16, 8, 32, 1000, 0, 0, 0, u32::MAX, 0];
        let record_words = [name[0], name[1], version[0], version[1], 0, 0, 0, 0, routes, 2, mode, 1, 0, 0];
        for (at, words) in [(record, &record_words[..]), (routes, &routes_words), (mode, &mode_words)] {
            for (index, word) in words.iter().enumerate() {
                let at = at as usize + index * 4;
                image[at..at + 4].copy_from_slice(&word.to_le_bytes());
            }
        }
        format!("(i32.const {record})")
    }

    fn text(&self) -> String {
        let Self { contract, describe, open, decode, encode, save, fields, pages, .. } = self;
        let platform = format!("packhorse:codec/platform@{contract}");
        let foreign = if self.imports.is_empty() {
            String::new()
        } else {
            "(import \"wasi:cli/environment@0.2.0\" \"get-environment\" (func (param i32)))".to_owned()
        };
        let data: String = self.image.iter().map(|byte| format!("\\{byte:02x}")).collect();
        format!(
            r#"(module
            {foreign}
            (import "packhorse:codec/diagnostics@{contract}" "panicked" (func $panicked (param i32 i32)))
            (memory (export "memory") {pages})
            (global $top (mut i32) (i32.const {HEAP}))
            (func (export "cabi_realloc") (param $old i32) (param $was i32) (param $align i32) (param $size i32) (result i32)
              (local $at i32)
              (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
              (global.set $top (i32.add (local.get $at) (local.get $size)))
              (local.get $at))
            (func (export "{platform}#describe") (result i32) {describe})
            (func (export "{platform}#open") (param i32) (result i32) {open})
            (func (export "{platform}#decode") (param i32 i32) (result i32) {decode})
            (func (export "{platform}#encode") (param i32 i32) (result i32) {encode})
            (func (export "{platform}#save") (result i32) {save})
            {fields}
            (data (i32.const 0) "{data}"))"#
        )
    }

    fn with_contract(&self, mut module: Vec<u8>) -> Vec<u8> {
        let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/wit/codec.wit");
        let mut contract = std::fs::read_to_string(wit).unwrap();
        contract = contract.replace("codec@1.0.0;", &format!("codec@{};", self.contract));
        contract = contract.replace("world codec {", &format!("world codec {{ {}", self.imports));
        let mut resolve = Resolve::default();
        if !self.imports.is_empty() {
            let wasi = "package wasi:cli@0.2.0; interface environment { get-environment: func() -> list<string>; }";
            resolve.push_str("wasi.wit", wasi).unwrap();
        }
        let package = resolve.push_str("codec.wit", &contract).unwrap();
        let world = resolve.select_world(&[package], Some("codec")).unwrap();
        wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).unwrap();
        module
    }
}
