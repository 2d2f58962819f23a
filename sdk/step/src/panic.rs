//! Last words: a panic's message and source line go to the host before the trap.

/// Sets the panic hook of the instance. Outside WebAssembly it does nothing: the usual hook prints.
pub fn install() {
    #[cfg(target_arch = "wasm32")]
    std::panic::set_hook(Box::new(|panic| {
        let words = panic.to_string();
        let end = words.floor_char_boundary(LIMIT);
        crate::bindings::packhorse::step::diagnostics::panicked(&words[..end]);
    }));
}

/// What the host keeps, in bytes.
#[cfg(target_arch = "wasm32")]
const LIMIT: usize = 1024;
