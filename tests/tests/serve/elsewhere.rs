//! A folder with a token and nothing else, beside a daemon that wants one.

use crate::daemon::{Daemon, token};
use packhorse_tests::World;
use packhorse_tests::child::{Child, Ended, PATIENCE};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::{Duration, Instant};

const SLEEPER: &str = "kind: workflow/v1\nname: sleeper\ninputs:\n  time: { type: duration, default: 10ms }\nsteps:\n  - uses: sleep\n    with: { duration: \"${{ inputs.time }}\" }\n";
const FAILER: &str =
    "kind: workflow/v1\nname: failer\nsteps:\n  - uses: fail\n    with: { message: it was meant to }\n";
const CALLED: &str = "kind: workflow/v1\nname: called\ntriggers:\n  - { id: hook, http: {} }\nsteps:\n  - { uses: sleep, with: { duration: 1ms } }\n";
const DEVICES: &str =
    "kind: devices/v1\ndevices:\n  - { match: gw-1, codec: acme-tlv, model: m, labels: { site: x } }\n";

/// A folder with a token and nothing else.
pub(crate) struct Elsewhere {
    pub(crate) world: World,
    pub(crate) url: String,
    pub(crate) token: PathBuf,
}

impl Elsewhere {
    pub(crate) fn new(at: &str, token: &str) -> Self {
        let world = World::new();
        let token = world.text("token", &format!("{token}\n"));
        Self { world, url: format!("http://{at}"), token }
    }

    fn at(&self) -> [String; 4] {
        let token = self.token.display().to_string();
        ["--server".to_owned(), self.url.clone(), "--token-file".to_owned(), token]
    }

    pub(crate) fn start(&self, args: &[&str]) -> Child {
        let at = self.at();
        self.world.start(&[&at.each_ref().map(String::as_str)[..], args].concat())
    }

    #[track_caller]
    pub(crate) fn ask(&self, args: &[&str]) -> Ended {
        self.start(args).end()
    }

    /// With these variables and no flags.
    #[track_caller]
    pub(crate) fn told_by(&self, variables: &[(&str, &str)], args: &[&str]) -> Ended {
        let mut command = self.world.command(args);
        command.envs(variables.iter().copied());
        Child::start(command, &format!("packhorse {}", args.join(" "))).end()
    }
}

/// A daemon with tokens of one who may do everything and one who may only look.
pub(crate) struct Scene {
    pub(crate) daemon: Daemon,
    pub(crate) all: Elsewhere,
    /// The token of who may only look.
    pub(crate) looks: String,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let mut tokens = Vec::new();
        let mut daemon = Daemon::with(|world| {
            let made = [token(world, "boss", &[]), token(world, "eye", &["runs:read"])];
            let (texts, entries): (Vec<String>, Vec<Value>) = made.into_iter().unzip();
            tokens = texts;
            json!({ "serve": { "tokens": entries } }).to_string()
        });
        // The same port after each start.
        daemon.listen = daemon.http();
        for (name, text) in [("sleeper", SLEEPER), ("failer", FAILER), ("called", CALLED)] {
            daemon.save(name, text);
        }
        daemon.take("ota-push");
        daemon.world.text("devices/lab.yaml", DEVICES);
        daemon.ask(&["reload"]).expect("all are good");
        Self { all: Elsewhere::new(&daemon.http(), &tokens[0]), looks: tokens[1].clone(), daemon }
    }

    /// What somebody beside the daemon is told.
    #[track_caller]
    pub(crate) fn here(&self, args: &[&str]) -> Ended {
        self.daemon.world.ask(&[args, &["--data", &self.daemon.world.data().display().to_string()]].concat())
    }

    /// A run that is over.
    pub(crate) fn over(&self, workflow: &str) -> String {
        let run = self.daemon.run(workflow, &[]);
        self.daemon.until(&run, |view| ["succeeded", "failed"].contains(&view["status"].as_str().unwrap_or_default()));
        run
    }

    /// The same is told here and there, for people and as data.
    #[track_caller]
    pub(crate) fn same(&self, code: i32, args: &[&str]) {
        for output in ["text", "json"] {
            let args = [args, &["-o", output]].concat();
            let (here, there) = (self.here(&args), self.all.ask(&args));
            // How long ago something was has become longer meanwhile.
            let told = |ended: &Ended| {
                let out: Vec<&str> = ended.out.lines().filter(|line| !line.contains(" ago")).collect();
                (ended.code, out.join("\n"), ended.err.clone())
            };
            assert_eq!(told(&there), told(&here), "{args:?}");
            assert_eq!(there.code, Some(code), "{args:?}: {there:?}");
        }
    }
}

/// Waits until a process has said so on stderr.
pub(crate) fn says(child: &mut Child, words: &str) {
    let begun = Instant::now();
    while !child.err().contains(words) {
        assert!(child.runs() && begun.elapsed() < PATIENCE, "{words}?\n{}\n{}", child.out(), child.err());
        std::thread::sleep(Duration::from_millis(10));
    }
}
