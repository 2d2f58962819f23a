//! Guests that lie, loop, grow, trap and ask for more than they may: each is contained, with a message that says what it
//! did, and the host serves another plugin right after.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::guest::{Guest, RESULT};
use packhorse::plugin::{CacheFolder, Host, HostSettings, Limits, Plugin, PluginError, Session, kit};
use packhorse_core::transfer::{Direction, Driver, FileInfo, Incoming, Opening};
use std::sync::Arc;

fn host() -> Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    let settings = || HostSettings { cache: CacheFolder::Off, slots: 64, ..HostSettings::default() };
    HOST.get_or_init(|| Host::new(settings()).unwrap()).clone()
}

fn opening() -> Opening {
    Opening {
        direction: Direction::Push,
        driver: Driver::PlatformPush,
        device: "dev-1".to_owned(),
        file: FileInfo::default(),
        packet_size: 512,
        epoch: 1,
        attempt: 1,
        started_at: 0,
        done: Vec::new(),
        vars: Vec::new(),
        saved: Vec::new(),
    }
}

fn message() -> Vec<Incoming> {
    vec![Incoming { route: 1, payload: b"hello".to_vec(), more: None }]
}

fn component(guest: Guest) -> Vec<u8> {
    kit::encode(&guest.name.clone(), &guest.module()).unwrap()
}

fn load(guest: Guest) -> Result<Arc<Plugin>, PluginError> {
    host().load_bytes(&guest.name.clone(), &component(guest))
}

/// The host is unharmed: a plugin that does as it should still does.
fn another_is_served() {
    let plugin = load(Guest::named("honest")).unwrap();
    let mut session = plugin.open(&opening()).unwrap();
    assert_eq!(session.decode(message()).unwrap(), Default::default());
    assert_eq!(session.save().unwrap(), b"");
}

/// Loading fails with these words.
fn not_loaded(name: &str, bytes: &[u8], code: &str, words: &[&str]) {
    let error = host().load_bytes(name, bytes).unwrap_err();
    let text = error.to_string();
    assert_eq!(error.code(), code, "{text}");
    assert!(words.iter().all(|words| text.contains(words)), "{text}");
    assert!(text.contains(name), "{text}");
    another_is_served();
}

fn session(guest: Guest) -> Session {
    load(guest).unwrap().open(&opening()).unwrap()
}

/// A message is answered by this error, now and ever after.
fn decode_fails(guest: Guest, code: &str, words: &str) -> Duration {
    let name = guest.name.clone();
    let mut session = session(guest);
    let began = Instant::now();
    let error = session.decode(message()).unwrap_err();
    let took = began.elapsed();
    let text = error.to_string();
    assert_eq!(error.code(), code, "{text}");
    assert!(text.contains(words), "{text}");
    assert!(text.starts_with(&format!("plugin {name} 0.1.0 ")) && text.contains(" in decode: "), "{text}");
    assert_eq!(session.decode(message()).unwrap_err(), error, "a dead session says why");
    assert_eq!(session.save().unwrap_err(), error, "a dead session saves nothing");
    another_is_served();
    took
}

fn decoding(name: &str, decode: &str) -> Guest {
    Guest { decode: decode.to_owned(), ..Guest::named(name) }
}

/// `decode` gives back the record at `RESULT`: lists of events, replies and faults as pointer and length.
fn giving(name: &str, lists: [u32; 6]) -> Guest {
    decoding(name, &format!("(i32.const {RESULT})")).words(RESULT, &lists)
}

const ITEM: u32 = 2048;

/// One reply: route, captures (as one string at an address, or none), cause.
fn replying(name: &str, route: u16, capture: &str, cause: u16) -> Guest {
    let capture_at = ITEM + 256;
    let captured = [capture_at, capture.len() as u32];
    giving(name, [0, 0, ITEM, 1, 0, 0])
        .words(ITEM as usize, &[u32::from(route), 0, 0, 1, ITEM + 128, 1])
        .words(ITEM as usize + 68, &[u32::from(cause)])
        .words(ITEM as usize + 128, &captured)
        .lay(capture_at as usize, capture.as_bytes())
}

#[test]
fn an_endless_loop_ends_with_its_budget() {
    decode_fails(
        decoding("loops", "(loop (br 0)) unreachable"),
        "plugin_trap_cpu",
        "more than 10 ms of processor time",
    );
}

/// By fuel no clock is looked at: the same call ends at the same place, and the next has all its fuel again.
#[test]
fn an_endless_loop_ends_with_its_fuel_where_that_is_counted() {
    let limits = Limits { fuel: Some(3_000), ..Limits::default() };
    let settings = HostSettings { cache: CacheFolder::Off, slots: 4, limits, ..HostSettings::default() };
    let host = Host::new(settings).unwrap();
    let loops = host.load_bytes("loops", &component(decoding("loops", "(loop (br 0)) unreachable"))).unwrap();
    let error = loops.open(&opening()).unwrap().decode(message()).unwrap_err();
    assert_eq!(error.code(), "plugin_trap_fuel", "{error}");
    assert!(error.to_string().contains("more than 3000 units of fuel"), "{error}");
    let honest = host.load_bytes("honest", &component(Guest::named("honest"))).unwrap();
    let mut session = honest.open(&opening()).unwrap();
    // This guest frees nothing: it has memory for some hundred calls.
    for _ in 0..300 {
        assert_eq!(session.decode(message()).unwrap(), Default::default());
    }
}

#[test]
fn a_loop_in_the_start_function_ends_too() {
    let guest = Guest { fields: "(func $s (loop (br 0))) (start $s)".to_owned(), ..Guest::named("starts") };
    let error = load(guest).unwrap_err();
    assert_eq!(error.code(), "plugin_trap_cpu", "{error}");
    assert!(error.to_string().contains("in its start function: it used more than 10 ms"), "{error}");
    another_is_served();
}

#[test]
fn a_loop_in_describe_or_open_ends_too() {
    let endless = "(loop (br 0)) unreachable".to_owned();
    let error = load(Guest { describe: endless.clone(), ..Guest::named("d") }).unwrap_err();
    assert!(error.to_string().contains("plugin d was stopped in describe: it used more than 10 ms"), "{error}");
    let error = load(Guest { open: endless, ..Guest::named("o") }).unwrap().open(&opening()).unwrap_err();
    assert!(error.to_string().contains("plugin o 0.1.0 was stopped in open: it used more than 10 ms"), "{error}");
    another_is_served();
}

#[test]
fn a_loop_of_calls_to_the_host_ends_too() {
    let loops = "(loop (call $panicked (i32.const 0) (i32.const 1000)) (br 0)) unreachable";
    decode_fails(decoding("chats", loops), "plugin_trap_cpu", "processor time");
}

#[test]
fn memory_stops_growing_at_its_cap() {
    let bomb = "(loop (drop (memory.grow (i32.const 16))) (br 0)) unreachable";
    decode_fails(decoding("grows", bomb), "plugin_trap_memory", "wanted more than 8388608 bytes of memory");
}

#[test]
fn memory_that_is_too_large_from_the_start_is_refused() {
    let error = load(Guest { pages: 1000, ..Guest::named("vast") }).unwrap_err();
    assert!(error.to_string().contains("plugin vast"), "{error}");
    assert!(error.to_string().contains("memory"), "{error}");
    another_is_served();
}

#[test]
fn calls_too_deep_end() {
    let fields = "(func $deep (param i64) (result i64) (i64.add (call $deep (i64.add (local.get 0) (i64.const 1))) (i64.const 1)))";
    let decode = "(drop (call $deep (i64.const 0))) unreachable".to_owned();
    let guest = Guest { fields: fields.to_owned(), decode, ..Guest::named("dives") };
    decode_fails(guest, "plugin_trap_stack", "its stack overflowed");
}

#[test]
fn last_words_come_with_the_trap() {
    let words = b"index out of\n\x1b[31mbounds";
    let dies = format!("(call $panicked (i32.const 512) (i32.const {})) unreachable", words.len());
    let guest = decoding("dies", &dies).lay(512, words);
    let expected = "it gave up (unreachable); its last words: index out of  [31mbounds";
    decode_fails(guest, "plugin_trap_unreachable", expected);
}

#[test]
fn a_division_by_zero_is_a_trap() {
    let divides = "(i32.div_u (local.get 1) (i32.const 0))";
    decode_fails(decoding("divides", divides), "plugin_trap_unreachable", "division by zero");
}

#[test]
fn memory_outside_its_own_is_not_touched() {
    decode_fails(decoding("pokes", "(i32.load (i32.const -8))"), "plugin_trap_bounds", "outside its own");
}

#[test]
fn too_many_items_are_refused() {
    // Zeros read as `hello` with empty texts, and as `not-mine` of item 0.
    for lists in [[128 << 10, 4097, 0, 0, 0, 0], [0, 0, 0, 0, 128 << 10, 4097]] {
        let guest = Guest { pages: 8, ..giving("floods", lists) };
        decode_fails(guest, "plugin_too_many_items", "it gave back 4097 items, more than 4096");
    }
}

#[test]
fn too_many_bytes_are_refused() {
    let guest = giving("pours", [0, 0, ITEM, 1, 0, 0]).words(ITEM as usize, &[1, 0, (2 << 20) + 1]);
    decode_fails(Guest { pages: 40, ..guest }, "plugin_trap_output", "it gave back more than 2097152 bytes");
}

#[test]
fn a_list_beyond_its_memory_is_refused() {
    for (at, len) in [(0xffff_fff0, 1), (32768, 0x8000_0000), (0x7fff_fff8, 4), (32768, u32::MAX)] {
        decode_fails(giving("points", [at, len, 0, 0, 0, 0]), "plugin_trap_invalid", "cannot be read");
    }
}

#[test]
fn an_unaligned_result_is_refused() {
    decode_fails(decoding("skews", "(i32.const 1025)"), "plugin_trap_invalid", "cannot be read");
}

#[test]
fn text_that_is_no_utf8_is_refused() {
    let guest = replying("babbles", 0, "ab", 0).lay(ITEM as usize + 256, &[0xff, 0xfe]);
    decode_fails(guest, "plugin_trap_invalid", "utf-8");
}

#[test]
fn an_unknown_case_is_refused() {
    let guest = giving("invents", [ITEM, 1, 0, 0, 0, 0]).words(ITEM as usize, &[200]);
    decode_fails(guest, "plugin_trap_invalid", "cannot be read");
}

#[test]
fn wildcards_and_worse_in_a_capture_are_refused() {
    for capture in ["+", "#", "../dev-2/down/1", "a\0b", "a\nb"] {
        decode_fails(replying("injects", 0, capture, 0), "plugin_bad_route", "capture");
    }
}

#[test]
fn a_route_that_there_is_not_is_refused() {
    decode_fails(replying("strays", 9, "a", 0), "plugin_bad_route", "there is no route 9: the codec declares 2");
    decode_fails(replying("turns", 1, "a", 0), "plugin_bad_route", "route 1 carries messages the other way");
}

#[test]
fn a_cause_outside_the_batch_is_refused() {
    decode_fails(replying("blames", 0, "a", 1), "plugin_bad_cause", "it names item 1 of a batch of 1");
}

#[test]
fn a_range_that_ends_before_it_begins_is_refused() {
    // ack, from 7 to 3
    let guest = giving("reverses", [ITEM, 1, 0, 0, 0, 0]).words(ITEM as usize, &[5, 0, 7, 0, 3, 0]);
    decode_fails(guest, "plugin_bad_span", "ack from 7 to 3 ends before it begins");
}

#[test]
fn bytes_beyond_any_file_are_refused() {
    // data: tag, offset, bytes
    let data = [4, 0, 0, 0, u32::MAX, u32::MAX, 512, 4];
    let guest = giving("overflows", [ITEM, 1, 0, 0, 0, 0]).words(ITEM as usize, &data);
    decode_fails(guest, "plugin_bad_offset", "4 bytes at offset 18446744073709551615 lie beyond the end of any file");
}

#[test]
fn a_save_that_is_too_large_is_refused() {
    let guest = Guest { save: format!("(i32.const {RESULT})"), ..Guest::named("hoards") };
    let mut session = session(guest.words(RESULT, &[4096, 4097]));
    let error = session.save().unwrap_err();
    assert_eq!(error.code(), "plugin_save_too_large");
    assert_eq!(
        error.to_string(),
        "plugin hoards 0.1.0 broke the contract in save: it saved 4097 bytes, more than 4096"
    );
    another_is_served();
}

#[test]
fn open_may_refuse_and_its_words_are_cut() {
    let guest = Guest { open: format!("(i32.const {RESULT})"), ..Guest::named("declines") };
    let plugin = load(guest.words(RESULT, &[1, 0, 0, 32768, 300]).words(4096, &[0])).unwrap();
    let error = plugin.open(&opening()).unwrap_err();
    assert_eq!(error.code(), "plugin_refused");
    let PluginError::Refused { text, .. } = error else { panic!("{error}") };
    assert_eq!(text.message.len(), 256);
    another_is_served();
}

#[test]
fn a_batch_that_is_too_large_is_not_called_and_harms_nothing() {
    let mut session = session(Guest::named("waits"));
    let many = vec![message().remove(0); 65];
    assert_eq!(session.decode(many).unwrap_err().code(), "plugin_batch_too_large");
    let vast = vec![Incoming { route: 1, payload: vec![0; (1 << 20) + 1], more: None }];
    assert_eq!(session.decode(vast).unwrap_err().code(), "plugin_batch_too_large");
    assert!(session.decode(message()).is_ok());
}

#[test]
fn imports_are_refused_by_name() {
    let imports = "import wasi:cli/environment@0.2.0;".to_owned();
    let guest = Guest { imports, ..Guest::named("escapes") };
    let words = ["imports wasi:cli/environment@0.2.0, which no codec may", "build it for wasm32-unknown-unknown"];
    not_loaded("escapes", &component(guest), "plugin_forbidden_import", &words);
}

#[test]
fn another_contract_version_is_named_beside_ours() {
    let newer = component(Guest { contract: "2.0.0".to_owned(), ..Guest::named("future") });
    let words = ["speaks packhorse:codec 2.0.0, this runner speaks 1.0.0", "it needs a newer packhorse"];
    not_loaded("future", &newer, "plugin_wrong_contract", &words);
    let older = component(Guest { contract: "0.9.0".to_owned(), ..Guest::named("past") });
    let words = ["speaks packhorse:codec 0.9.0, this runner speaks 1.0.0", "build it with this version's SDK"];
    not_loaded("past", &older, "plugin_wrong_contract", &words);
}

#[test]
fn what_is_no_component_is_called_what_it_is() {
    let not = |bytes: &[u8], words: &str| not_loaded("odd", bytes, "plugin_not_a_codec", &[words]);
    not(b"", "is an empty file");
    not(b"(component)", "is WebAssembly text: only the binary form is taken");
    not(b"\n ;; x\n", "is no WebAssembly file");
    not(b"\x7fELF", "is no WebAssembly file");
    not(b"\0asm\x01\0\0\0", "is a core module, not a component: `packhorse plugin build` makes one of it");
    not(b"\0asm\x0d\0\x01\0", "exports no packhorse:codec/platform@1.0.0");
    let whole = component(Guest::named("whole"));
    not(&whole[..whole.len() / 2], "is damaged or cut short");
    not_loaded("fat", &vec![0; (2 << 20) + 1], "plugin_too_large", &["has 2097153 bytes, more than the 2097152"]);
}

#[test]
fn damaged_files_never_panic() {
    let whole = component(Guest::named("whole"));
    let mut seed = 0x9e37_79b9_u32;
    let mut draw = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 17;
        seed ^= seed << 5;
        seed as usize % below
    };
    for _ in 0..60 {
        let mut bytes = whole.clone();
        // The image of the memory is most of the file, and nothing there is structure.
        for _ in 0..4 {
            let at = draw(bytes.len().min(4096));
            bytes[at] = draw(256) as u8;
        }
        bytes.truncate(bytes.len() - draw(3) * draw(bytes.len() / 2));
        // Some changes do no harm.
        if let Err(error) = host().load_bytes("damaged", &bytes) {
            assert!(error.to_string().contains("damaged") || error.to_string().contains("hole"), "{error}");
        }
    }
    another_is_served();
}

#[test]
fn wrong_words_about_itself_are_refused() {
    let check = |guest: Guest, words: &str| {
        let error = load(guest).unwrap_err();
        assert_eq!(error.code(), "plugin_description", "{error}");
        assert!(error.to_string().contains(words), "{error}");
    };
    check(Guest::named("Ünfit"), "is not made of 1 to 64 of a-z 0-9 -");
    check(Guest { version: "1.x".to_owned(), ..Guest::honest() }, "no semantic version");
    let routes = |down: &str| Guest { routes: [down.to_owned(), "up".to_owned()], ..Guest::honest() };
    check(routes("$SYS/x"), "its first level belongs to the broker");
    check(routes("a/{#}/b"), "{#} stands before the last level");
    check(routes("a/{secret}"), "names `secret`, which is no declared variable");
    another_is_served();
}

#[test]
fn all_slots_taken_is_an_error_and_one_freed_serves_again() {
    let settings = HostSettings { cache: CacheFolder::Off, slots: 2, ..HostSettings::default() };
    let host = Host::new(settings).unwrap();
    let plugin = host.load_bytes("few", &component(Guest::named("few"))).unwrap();
    let first = plugin.open(&opening()).unwrap();
    let _second = plugin.open(&opening()).unwrap();
    let error = plugin.open(&opening()).unwrap_err();
    assert_eq!(error.to_string(), "no room for another session of plugin few 0.1.0: all 2 slots are taken");
    drop(first);
    assert!(plugin.open(&opening()).is_ok());
}
