//! A foreign broker, mosquitto, between platform and devices: both versions of MQTT, TLS, passwords, several brokers, rights,
//! limits; `bus`: sessions.

mod bus;

use packhorse_tests::certificates::{Authority, Valid};
use packhorse_tests::child::{Child, Ended};
use packhorse_tests::client::Stranger;
use packhorse_tests::mosquitto::{Options, Tls};
use packhorse_tests::world::{self, number, workflow};
use packhorse_tests::{Mosquitto, World, count, files};
use std::path::Path;
use std::time::Duration;

const MIB: usize = 1 << 20;

/// Variables of a process.
type Env<'a> = &'a [(&'a str, &'a str)];

fn start(world: &World, args: &[&str], env: Env<'_>) -> Child {
    let mut command = world.command(args);
    command.envs(env.iter().copied());
    Child::start(command, &format!("packhorse {}", args.join(" ")))
}

fn device(world: &World, mqtt: &str, env: Env<'_>) -> Child {
    let dir = world.path("device").display().to_string();
    start(world, &["device", "--codec", "json-base64", "--id", "dev-1", "--dir", &dir, "--mqtt", mqtt], env)
}

fn run(world: &World, mqtt: &str, workflow: &Path, more: &[&str], env: Env<'_>) -> Child {
    let (path, data) = (workflow.display().to_string(), world.data().display().to_string());
    let own = ["run", &path, "-o", "json", "--mqtt", mqtt, "--fastdfs", "embedded://127.0.0.1:0", "--data", &data];
    start(world, &[&own[..], more].concat(), env)
}

fn push(world: &World, mqtt: &str, image: &Path, env: Env<'_>) -> Child {
    let image = format!("image={}", image.display());
    run(world, mqtt, &workflow("ota-push"), &["-i", "device=dev-1", "-i", &image], env)
}

/// A push and a pull, each whole.
fn both_ways(world: &World, mqtt: &str, env: Env<'_>) {
    let device = device(world, mqtt, env);
    let (image, bytes) = world.file("fw.bin", count(MIB, 16 * MIB), 7);
    let pushed = push(world, mqtt, &image, env).end().exits(0).json();
    assert_eq!(pushed["status"], "succeeded", "{pushed:#}");
    assert!(std::fs::read(world.path("device").join("fw.bin")).unwrap() == bytes);
    let log = files::bytes(200_000, 8);
    std::fs::write(world.path("device").join("syslog"), &log).unwrap();
    let pull = ["-i", "device=dev-1", "-i", "log=syslog"];
    let pulled = run(world, mqtt, &workflow("log-pull"), &pull, env).end().exits(0).json();
    assert_eq!(pulled["outputs"]["file"]["md5"], files::md5(&log).as_str(), "{pulled:#}");
    drop(device);
}

#[test]
fn a_mosquitto_comes_back_on_its_port_with_or_without_what_it_kept() {
    for (options, kept) in [(Options::default(), false), (Options::default().persistent(), true)] {
        let mut broker = options.start();
        let stranger = Stranger::connect(&broker.url(), &["state"]);
        stranger.keep("state", b"kept");
        assert!(stranger.hear(Duration::from_secs(30)).is_some());
        drop(stranger);
        broker.stop();
        broker.start();
        let stranger = Stranger::connect(&broker.address(), &["state"]);
        stranger.say("state", b"new");
        let first = stranger.hear(Duration::from_secs(30)).expect("the broker lives").1;
        assert_eq!(first == b"kept", kept, "{}", broker.log());
        broker.kill();
        assert_eq!(broker.pid(), 0);
    }
}

#[test]
fn files_go_both_ways_over_mosquitto_in_either_version() {
    for (version, logged) in [("auto", "p5"), ("5", "p5"), ("3.1.1", "p2")] {
        let (world, broker) = (World::new(), Mosquitto::plain());
        both_ways(&world, &broker.url(), &[("PACKHORSE_MQTT__VERSION", version)]);
        // As mosquitto logs a client: `… as packhorse-… (p2, c1, k30)`, p2 for 3.1.1 and p5 for 5.
        assert!(broker.log().contains(&format!("({logged}, ")), "{version}: {}", broker.log());
    }
}

#[test]
fn files_go_both_ways_over_ipv6() {
    let (world, broker) = (World::new(), Options::default().address("::1").start());
    both_ways(&world, &broker.url(), &[]);
}

#[test]
fn a_password_file_lets_in_and_a_wrong_password_is_told_at_once() {
    let (world, broker) = (World::new(), Options::default().user("runner", "p@ss:w0rd").start());
    let file = world.text("secret", "p@ss:w0rd\n");
    packhorse_tests::certificates::private(&file);
    let file = file.display().to_string();
    both_ways(&world, &broker.url(), &[("PACKHORSE_MQTT__USER", "runner"), ("PACKHORSE_MQTT__PASSWORD_FILE", &file)]);
    let (image, _) = world.file("fw.bin", 1000, 1);
    let wrong = [("PACKHORSE_MQTT__USER", "runner"), ("PACKHORSE_MQTT__PASSWORD", "hunter2")];
    let ended = push(&world, &broker.url(), &image, &wrong).end().exits(69);
    assert!(!format!("{}{}", ended.out, ended.err).contains("hunter2"));
    // Debian's mosquitto says 0x87 where the standard would say 0x86.
    ended.says(&["PH1030", &broker.address()]);
    let own = broker.url().replace("mqtt://", "mqtt://runner:p%40ss%3Aw0rd@");
    push(&world, &own, &image, &[("PACKHORSE_MQTT__USER", "nobody")]).signal(rustix::process::Signal::TERM);
}

#[test]
fn a_settings_file_names_everything() {
    let broker = Options::default().user("runner", "secret").start();
    let world = World::new();
    world.text("keys/password", "secret\n");
    let yaml = format!(
        "mqtt:\n  urls: [\"mqtt://127.0.0.1:1\", \"{}\"]\n  user: runner\n  password_file: keys/password\n  version: 5\n  keep_alive: 10s\n",
        broker.url()
    );
    world.text("packhorse.yaml", &yaml);
    let (image, _) = world.file("fw.bin", 50_000, 1);
    let env = [("PACKHORSE_MQTT__USER", "runner"), ("PACKHORSE_MQTT__PASSWORD", "secret")];
    let _device = device(&world, &broker.url(), &env);
    let image = format!("image={}", image.display());
    let path = workflow("ota-push").display().to_string();
    let args = ["run", &path, "--fastdfs", "embedded://127.0.0.1:0", "-i", "device=dev-1", "-i", &image, "-o", "json"];
    // The folder's rights are open to all: that is said, and is no error.
    let ended = world.ask(&args).exits(0).says(&["chmod o-r"]);
    assert_eq!(ended.json()["status"], "succeeded");
    world.text("packhorse.yaml", "mqtt: { urls: mqtt://a, passwrod: x }\n");
    world.ask(&args).exits(2).says(&["PH1007", "passwrod"]);
}

/// Two authorities, a server and clients.
struct Keys {
    world: World,
    ours: Authority,
    server: packhorse_tests::certificates::Pair,
    client: packhorse_tests::certificates::Pair,
}

impl Keys {
    fn new(hosts: &[&str], valid: Valid) -> Self {
        let world = World::new();
        let ours = Authority::new(world.folder(), "ours");
        let (server, client) = (ours.sign("server", hosts, valid), ours.sign("client", &["runner"], Valid::Now));
        Self { world, ours, server, client }
    }

    fn broker(&self) -> Mosquitto {
        let (certificate, key) = (self.server.certificate.clone(), self.server.key.clone());
        Options::default().tls(Tls { ca: self.ours.file.clone(), certificate, key, require: true }).start()
    }

    /// What a push without a device says when it cannot connect.
    fn refused(&self, broker: &Mosquitto, env: Env<'_>) -> Ended {
        let (image, _) = self.world.file("fw.bin", 100, 1);
        push(&self.world, &broker.url(), &image, env).end().exits(69).says(&["PH1031", &broker.address()])
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn files_go_both_ways_over_tls_with_client_certificates() {
    let keys = Keys::new(&["127.0.0.1", "localhost"], Valid::Now);
    let broker = keys.broker();
    let (ca, certificate, key) = (text(&keys.ours.file), text(&keys.client.certificate), text(&keys.client.key));
    let identity = [("PACKHORSE_MQTT__CERT_FILE", certificate), ("PACKHORSE_MQTT__KEY_FILE", key)];
    both_ways(&keys.world, &broker.url(), &[&identity[..], &[("PACKHORSE_MQTT__CA_FILE", ca)]].concat());
    // The system's own variable names the authorities where nothing else does.
    both_ways(&keys.world, &broker.url(), &[&identity[..], &[("SSL_CERT_FILE", ca)]].concat());
    assert!(broker.log().contains("p5"), "{}", broker.log());
}

#[test]
fn every_wrong_certificate_is_told_by_name() {
    let keys = Keys::new(&["127.0.0.1"], Valid::Now);
    let broker = keys.broker();
    let foreign = Authority::new(keys.world.folder(), "foreign");
    let stranger = foreign.sign("stranger", &["runner"], Valid::Now);
    let (ca, certificate, key) = (text(&keys.ours.file), text(&keys.client.certificate), text(&keys.client.key));
    let trusted = ("PACKHORSE_MQTT__CA_FILE", ca);
    let mine = [("PACKHORSE_MQTT__CERT_FILE", certificate), ("PACKHORSE_MQTT__KEY_FILE", key)];
    let other = ("PACKHORSE_MQTT__CA_FILE", text(&foreign.file));
    keys.refused(&broker, &[&mine[..], &[other]].concat()).says(&["no trusted authority", "ca_file"]);
    keys.refused(&broker, &[trusted]).says(&["it wants a client certificate", "cert_file"]);
    let theirs = [
        ("PACKHORSE_MQTT__CERT_FILE", text(&stranger.certificate)),
        ("PACKHORSE_MQTT__KEY_FILE", text(&stranger.key)),
        trusted,
    ];
    keys.refused(&broker, &theirs).says(&["does not accept our client certificate"]);
    let elsewhere = [&mine[..], &[trusted, ("PACKHORSE_MQTT__TLS_SERVER_NAME", "elsewhere")]].concat();
    keys.refused(&broker, &elsewhere).says(&["for another host", "tls_server_name"]);
    let plain = Mosquitto::plain();
    let (image, _) = keys.world.file("fw.bin", 100, 1);
    let secure = plain.url().replace("mqtt://", "mqtts://");
    push(&keys.world, &secure, &image, &[trusted]).end().exits(69);
    let missing = [("PACKHORSE_MQTT__CA_FILE", "/nowhere.pem")];
    push(&keys.world, &broker.url(), &image, &missing).end().exits(2).says(&["/nowhere.pem"]);

    let keys = Keys::new(&["127.0.0.1"], Valid::Expired);
    let broker = keys.broker();
    let (ca, certificate, key) = (text(&keys.ours.file), text(&keys.client.certificate), text(&keys.client.key));
    let all = [
        ("PACKHORSE_MQTT__CA_FILE", ca),
        ("PACKHORSE_MQTT__CERT_FILE", certificate),
        ("PACKHORSE_MQTT__KEY_FILE", key),
    ];
    keys.refused(&broker, &all).says(&["has expired"]);

    let keys = Keys::new(&["broker.internal"], Valid::Now);
    let broker = keys.broker();
    let (ca, certificate, key) = (text(&keys.ours.file), text(&keys.client.certificate), text(&keys.client.key));
    let all = [
        ("PACKHORSE_MQTT__CA_FILE", ca),
        ("PACKHORSE_MQTT__CERT_FILE", certificate),
        ("PACKHORSE_MQTT__KEY_FILE", key),
    ];
    keys.refused(&broker, &all).says(&["for another host"]);
    let named = [&all[..], &[("PACKHORSE_MQTT__TLS_SERVER_NAME", "broker.internal")]].concat();
    both_ways(&keys.world, &broker.url(), &named);
}

#[test]
fn a_push_goes_on_at_the_next_broker_when_the_first_is_killed() {
    let (world, mut first, second) = (World::new(), Mosquitto::plain(), Mosquitto::plain());
    let urls = format!("{},{}", first.url(), second.url());
    let _device = device(&world, &urls, &[]);
    let (image, bytes) = world.file("fw.bin", 16 * MIB, 3);
    let mut push = push(&world, &urls, &image, &[]);
    let done = world.until(&mut push, |run| world::done(run).filter(|done| *done > MIB as u64));
    assert!(done.is_some_and(|done| done < bytes.len() as u64), "it was killed in the middle: {done:?}");
    first.kill();
    let run = push.end().exits(0).json();
    assert_eq!(run["status"], "succeeded", "{run:#}");
    assert!(std::fs::read(world.path("device").join("fw.bin")).unwrap() == bytes);
    println!("killed at byte {done:?}; resent {} bytes", number(&run, "/traffic/retransmitted_bytes"));
    assert!(second.log().contains("PUBLISH"), "the second broker served");
}

#[test]
fn a_topic_that_the_access_list_closes_pauses_the_run_with_the_reason() {
    let acl = "user device\ntopic readwrite packhorse/#\nuser runner\ntopic read packhorse/#\n";
    let (world, broker) = (World::new(), Options::default().user("device", "d").user("runner", "r").acl(acl).start());
    let _device = device(&world, &broker.url().replace("mqtt://", "mqtt://device:d@"), &[]);
    let (image, _) = world.file("fw.bin", MIB, 3);
    let url = broker.url().replace("mqtt://", "mqtt://runner:r@");
    let ended = push(&world, &url, &image, &[]).end().exits(6);
    ended.says(&["PH5110", "the broker refuses publishes to packhorse/dev-1/down: not authorised (0x87)"]);
    let refused = broker.log().matches("Denied PUBLISH").count();
    println!("{refused} publishes were refused before the run paused");
    assert!((1..1000).contains(&refused), "it neither asked nothing nor asked for ever: {refused}");
}

#[test]
fn packets_that_cannot_fit_the_broker_are_refused_before_the_run_exists() {
    let (world, broker) = (World::new(), Options::default().line("max_packet_size 600").start());
    let asks = "kind: workflow/v1\nname: large\ncodec: json-base64\ninputs:\n  image: { type: file }\n  limit: { type: size, default: 4KiB }\n\
         steps:\n  - id: push\n    uses: transfer.push\n    with: { device: dev-1, file: \"${{ inputs.image }}\", message_limit: \"${{ inputs.limit }}\" }\n";
    let large = world.text("large.yaml", asks);
    let (image, bytes) = world.file("fw.bin", 20_000, 3);
    let image = format!("image={}", image.display());
    let ended = run(&world, &broker.url(), &large, &["-i", &image], &[]).end().exits(69);
    ended.says(&["PH1034", "600 bytes", "4096 bytes"]);
    assert!(world.ask(&["ps", "--data", text(&world.data())]).out.matches("run_").count() == 0, "no run exists");
    let _device = device(&world, &broker.url(), &[]);
    run(&world, &broker.url(), &large, &["-i", &image, "-i", "limit=512"], &[]).end().exits(0);
    assert!(std::fs::read(world.path("device").join("fw.bin")).unwrap() == bytes);
}

#[test]
fn a_broker_with_a_smaller_limit_is_told_with_both_numbers_in_the_middle_of_a_push() {
    let (world, mut first) = (World::new(), Mosquitto::plain());
    let second = Options::default().line("max_packet_size 400").start();
    let asks = "kind: workflow/v1\nname: fixed\ncodec: json-base64\ninputs:\n  image: { type: file }\n\
         steps:\n  - id: push\n    uses: transfer.push\n    with: { device: dev-1, file: \"${{ inputs.image }}\", packet_size: 600 }\n";
    let fixed = world.text("fixed.yaml", asks);
    let _device = device(&world, &first.url(), &[]);
    let (image, _) = world.file("fw.bin", 16 * MIB, 3);
    let urls = format!("{},{}", first.url(), second.url());
    let mut push = run(&world, &urls, &fixed, &["-i", &format!("image={}", image.display())], &[]);
    assert!(world.until(&mut push, |run| world::done(run).filter(|done| *done > 1000)).is_some());
    first.kill();
    push.end().exits(6).says(&["PH5111", "at most 400 bytes"]);
}

#[test]
fn a_rate_holds_for_what_goes_and_what_comes() {
    let (world, broker) = (World::new(), Mosquitto::plain());
    let device = device(&world, &broker.url(), &[]);
    std::fs::create_dir_all(world.path("device")).unwrap();
    let log = files::bytes(100_000, 8);
    std::fs::write(world.path("device").join("syslog"), &log).unwrap();
    let (image, _) = world.file("fw.bin", 100_000, 3);
    let rate = 200 << 10;
    let ways = [
        ("push", "inputs:\n  image: { type: file }\n", "file: \"${{ inputs.image }}\", window: 32"),
        ("pull", "", "file_type: syslog, window: 8"),
    ];
    for (way, input, what) in ways {
        let text = format!(
            "kind: workflow/v1\nname: slow\ncodec: json-base64\n{input}steps:\n  - id: move\n    uses: transfer.{way}\n    with: {{ device: dev-1, {what}, rate: {rate}B/s }}\n"
        );
        let slow = world.text("slow.yaml", &text);
        let image = format!("image={}", image.display());
        let more = if way == "push" { vec!["-i", &image] } else { Vec::new() };
        let ended = run(&world, &broker.url(), &slow, &more, &[]).end().exits(0).json();
        let (wire, took) = (number(&ended, "/traffic/wire_bytes"), number(&ended, "/duration_ms"));
        println!("{way}: {wire} bytes on the wire in {took} ms at {rate} bytes a second");
        // An idle line may run 50 ms ahead; the last packets are spoken for and not waited for.
        assert!(took + 150 >= wire * 1000 / rate, "{way}: {wire} bytes in {took} ms");
    }
    drop(device);
}
