//! A run under which the daemon dies again and again, beside others that get further.

use crate::admission::{SLOW, facts, has_sent, image, push, reason};
use crate::daemon::{Daemon, status};
use serde_json::{Value, json};

fn done(view: &Value) -> u64 {
    view.pointer("/transfer/done").and_then(Value::as_u64).unwrap_or(0)
}

#[test]
fn three_deaths_under_one_attempt_pause_its_run_and_no_other() {
    let mut daemon = Daemon::start();
    daemon.save("slow-push", SLOW);
    daemon.save("rests", "kind: workflow/v1\nname: rests\nsteps: [{ uses: sleep, with: { duration: 24h } }]\n");
    let (file, bytes) = image(&daemon, "fw.bin", 384 * 1024, 6);
    let _device = daemon.device("json-base64", "gw-1", &[]);
    let resting = daemon.run("rests", &[]);
    let moving = push(&daemon, "gw-1", &file, &[]);
    daemon.until(&moving, has_sent);
    // Nobody answers: it is at work, and gets nowhere.
    let stuck = push(&daemon, "gw-2", &file, &[]);
    for death in 1..=3 {
        daemon.until(&stuck, |view| status(view) == "running");
        let before = done(&daemon.show(&moving));
        daemon.until(&moving, |view| done(view) > before);
        daemon.kill();
        daemon.begin();
        println!("death {death}: {before} bytes of the other push were done");
    }
    let view = daemon.until(&stuck, |view| status(view) == "paused");
    assert_eq!((reason(&view), &view["error"]["code"]), ("crash_loop", &json!("PH4008")), "{view:#}");
    assert_eq!(facts(&daemon, &stuck, "attempt_resumed"), 2, "it was not begun after the third death");
    assert_eq!(status(&daemon.show(&resting)), "waiting");
    let whole = daemon.until(&moving, |view| status(view) == "succeeded");
    assert_eq!(whole["steps"][0]["attempts"], 1, "{whole:#}");
    let data = daemon.world.data().display().to_string();
    let words = ["crash loop", "[PH4008] in step push", "find out why the process died", "packhorse resume run_"];
    daemon.world.ask(&["explain", &stuck, "--data", &data]).exits(0).says(&words);

    // It is a matter of the journal, and not of the process.
    daemon.stop();
    daemon.begin();
    assert_eq!((status(&daemon.show(&stuck)), reason(&daemon.show(&stuck))), ("paused", "crash_loop"));
    let _late = daemon.device("json-base64", "gw-2", &[]);
    daemon.ask(&["resume", &stuck]).expect("a person lets it go on");
    let view = daemon.until(&stuck, |view| status(view) == "succeeded");
    assert_eq!(view["steps"][0]["attempts"], 2, "{view:#}");
    assert!(daemon.has("gw-1", &bytes) && daemon.has("gw-2", &bytes));
    daemon.stop();
}
