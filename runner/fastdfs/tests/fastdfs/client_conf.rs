//! Options from a FastDFS `client.conf`.

use std::time::Duration;

use packhorse_fastdfs::{ClientOptions, client::ConfError};

use crate::cluster::{Cluster, ext};

#[tokio::test]
async fn a_conf_as_it_is_shipped_is_understood() {
    let at = Cluster::start().await;
    let path = at.folder.path().join("client.conf");
    let conf = format!(
        "# connect timeout in seconds\nconnect_timeout = 7\n\nnetwork_timeout=33\nbase_path = /opt/fastdfs\n\
         tracker_server = {}\n#standard log level\nlog_level=info\nuse_connection_pool = true\n\
         connection_pool_max_idle_time = 120\n##include http.conf\nhttp.tracker_server_port=80\n\
         [group1]\nconnect_timeout = never\n",
        at.server.tracker_addr
    );
    std::fs::write(&path, conf).unwrap();
    let options = ClientOptions::from_conf(&path).unwrap();
    assert_eq!((options.connect_timeout, options.io_timeout), (Duration::from_secs(7), Duration::from_secs(33)));
    assert_eq!(options.idle_limit, Duration::from_secs(120));
    assert!(options.max_idle > 0);
    packhorse_fastdfs::Client::new(options).upload(b"x", &ext("txt")).await.unwrap();
}

#[test]
fn every_form_of_a_tracker_is_one_or_several_addresses() {
    for (value, expected) in [
        ("10.0.0.1:22000", &["10.0.0.1:22000"][..]),
        ("10.0.0.1", &["10.0.0.1:22122"]),
        ("tracker-1.example_net", &["tracker-1.example_net:22122"]),
        ("10.0.0.1,172.16.0.1:22000", &["10.0.0.1:22000", "172.16.0.1:22000"]),
        ("10.0.0.1:1, 172.16.0.1:2", &["10.0.0.1:1", "172.16.0.1:2"]),
        ("[fe80::1]:22000", &["[fe80::1]:22000"]),
        ("[fe80::1]", &["[fe80::1]:22122"]),
        ("fe80::1", &["[fe80::1]:22122"]),
        ("10.0.0.1,[::1]:5", &["10.0.0.1:5", "[::1]:5"]),
    ] {
        let options = ClientOptions::parse_conf(&format!("tracker_server={value}")).unwrap();
        assert_eq!(options.trackers, expected, "{value}");
    }
    let two = ClientOptions::parse_conf("tracker_server = a:1\r\ntracker_server = b:2\r\n").unwrap();
    assert_eq!(two.trackers, ["a:1", "b:2"]);
}

#[test]
fn what_cannot_be_read_is_named_with_its_line() {
    for (line, expected) in [
        ("tracker_server = :22122", "host:port"),
        ("tracker_server = a:b", "host:port"),
        ("tracker_server = a:0", "host:port"),
        ("tracker_server = a:65536", "host:port"),
        ("tracker_server = [::1:5", "host:port"),
        ("tracker_server = [1.2.3.4]:5", "host:port"),
        ("tracker_server =", "host:port"),
        ("tracker_server = a b:5", "host:port"),
        ("connect_timeout = soon", "seconds"),
        ("network_timeout = 99999999999", "year"),
        ("use_connection_pool = maybe", "neither"),
        ("#include other.conf", "#include"),
        ("#Include other.conf", "#include"),
        ("just words", "key = value"),
    ] {
        let error = ClientOptions::parse_conf(&format!("tracker_server = a:1\n\n{line}\n")).unwrap_err();
        assert!(
            matches!(&error, ConfError::Line { line: 3, problem } if problem.contains(expected)),
            "{line}: {error}"
        );
        assert!(error.to_string().starts_with("line 3: "), "{error}");
    }
    assert!(matches!(ClientOptions::parse_conf("connect_timeout = 1"), Err(ConfError::NoTracker)));
}

#[test]
fn limits_that_mean_the_default_and_the_pool_that_is_off() {
    let usual = ClientOptions::new(["a:1"]);
    let conf = "tracker_server=a:1\nconnect_timeout=0\nnetwork_timeout=-1\nuse_connection_pool = No";
    let options = ClientOptions::parse_conf(conf).unwrap();
    assert_eq!((options.connect_timeout, options.io_timeout), (usual.connect_timeout, usual.io_timeout));
    assert_eq!(options.max_idle, 0);
}

#[test]
fn a_mark_before_the_first_line_is_no_part_of_it() {
    assert_eq!(ClientOptions::parse_conf("\u{feff}tracker_server = a:1").unwrap().trackers, ["a:1"]);
}

#[test]
fn a_year_is_not_more_than_a_year() {
    let year = 365 * 24 * 3600;
    let read = |seconds: u64| ClientOptions::parse_conf(&format!("tracker_server=a\nconnect_timeout={seconds}"));
    assert_eq!(read(year).unwrap().connect_timeout, Duration::from_secs(year));
    assert!(matches!(read(year + 1), Err(ConfError::Line { line: 2, .. })));
}

#[test]
fn files_that_are_no_conf_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("client.conf");
    assert!(matches!(ClientOptions::from_conf(&path), Err(ConfError::Read { .. })));
    std::fs::write(&path, vec![b'#'; (1 << 20) + 1]).unwrap();
    assert!(matches!(ClientOptions::from_conf(&path), Err(ConfError::TooLarge { .. })));
    std::fs::write(&path, [0xFF, 0xFE]).unwrap();
    assert!(matches!(ClientOptions::from_conf(&path), Err(ConfError::Read { .. })));
}
