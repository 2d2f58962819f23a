//! The chaos proxy itself: every fault does what it is called, is counted, and comes again with its seed.

use packhorse_tests::proxy::{Fault, KINDS, Kind, Proxy, Sky, Way};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// A service that gives back what it gets.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut from = stream.try_clone().unwrap();
                drop(std::io::copy(&mut from, &mut stream));
            });
        }
    });
    address
}

/// What counts as silence where silence is expected.
const SILENCE: Duration = Duration::from_millis(400);
/// What counts as silence where something must come, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(30);

/// What comes back of 1 000 bytes through a proxy, and how the connection ended; after `length` bytes it may be silent.
fn back(proxy: &Proxy, length: usize) -> (Vec<u8>, Option<ErrorKind>) {
    let mut stream = TcpStream::connect(proxy.address).unwrap();
    // Who writes first meets the reset; what is read after that is only an end.
    let wrote = stream.write_all(&[b'a'; 1000]).err().map(|_| ErrorKind::ConnectionReset);
    let mut bytes = Vec::new();
    let mut buffer = [0; 100];
    while bytes.len() < 1000 {
        let patience = if bytes.len() < length { PATIENCE } else { SILENCE };
        stream.set_read_timeout(Some(patience)).unwrap();
        match stream.read(&mut buffer) {
            Ok(0) => return (bytes, wrote),
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error) => return (bytes, Some(error.kind())),
        }
    }
    (bytes, None)
}

/// Three tries where the end itself must come in time: on a busy machine it may come after what counts as silence.
#[track_caller]
fn suffers(fault: Fault, length: usize, end: Option<ErrorKind>) {
    let once = || {
        let proxy = Proxy::before(echo(), 1);
        proxy.set(Sky::All(fault));
        let (bytes, ended) = back(&proxy, length);
        assert_eq!(proxy.struck(fault.kind()), 1, "{fault:?}: {}", proxy.told());
        (bytes.len(), ended)
    };
    let seen: Vec<_> = (0..3).map(|_| once()).take_while(|seen| *seen != (length, end)).collect();
    assert!(seen.len() < 3, "{fault:?}: {seen:?}, and not {length} bytes and {end:?}");
}

#[test]
fn each_fault_is_what_it_is_called() {
    let silent = Some(ErrorKind::WouldBlock);
    suffers(Fault::Cut(Way::Down, 300), 300, None);
    suffers(Fault::HalfOpen(Way::Down, 300), 300, silent);
    suffers(Fault::HalfOpen(Way::Up, 0), 0, silent);
    suffers(Fault::BlackHole, 0, silent);
    suffers(Fault::Slow(100_000, 5), 1000, None);
    suffers(Fault::Split, 1000, None);
    suffers(Fault::Flip(Way::Up, 300), 1000, None);
    suffers(Fault::Refuse, 0, Some(ErrorKind::ConnectionReset));
    suffers(Fault::Reset(Way::Up, 0), 0, Some(ErrorKind::ConnectionReset));
}

#[test]
fn one_bit_of_the_named_byte_is_turned_over() {
    let proxy = Proxy::before(echo(), 1);
    proxy.set(Sky::All(Fault::Flip(Way::Down, 300)));
    let (bytes, _) = back(&proxy, 1000);
    let other: Vec<_> = bytes.iter().enumerate().filter(|(_, byte)| **byte != b'a').collect();
    assert_eq!(other, [(300, &(b'a' ^ 1))]);
}

#[test]
fn the_sky_changes_while_it_runs() {
    let proxy = Proxy::before(echo(), 1);
    assert_eq!(back(&proxy, 1000).0.len(), 1000);
    let mut living = TcpStream::connect(proxy.address).unwrap();
    living.write_all(b"x").unwrap();
    living.read_exact(&mut [0]).unwrap();
    proxy.turn(Sky::All(Fault::Refuse));
    assert!(living.read(&mut [0]).is_err(), "living connections are reset");
    assert_eq!(back(&proxy, 1000).1, Some(ErrorKind::ConnectionReset));
    proxy.turn(Sky::Clear);
    assert_eq!(back(&proxy, 1000).0.len(), 1000);
    assert_eq!(proxy.connections(), 4);
}

#[test]
fn a_seed_gives_the_same_faults_again_and_all_kinds() {
    let sky = Sky::Seeded(KINDS.to_vec(), 0..10_000);
    let faults = |seed| (0..200).map(|number| sky.fault(seed, number).unwrap()).collect::<Vec<_>>();
    assert_eq!(faults(7), faults(7));
    assert_ne!(faults(7), faults(8));
    for kind in KINDS {
        assert!(faults(7).iter().any(|fault| fault.kind() == kind), "{kind:?}");
    }
    assert_eq!(Sky::Clear.fault(1, 1), None);
    assert_eq!(Fault::Cut(Way::Up, 1).kind(), Kind::Cut);
}
