//! A foreign broker, mosquitto, between platform and devices.

use packhorse_tests::Mosquitto;
use packhorse_tests::client::Stranger;
use packhorse_tests::mosquitto::Options;
use std::time::Duration;

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
    drop(Mosquitto::plain());
}
