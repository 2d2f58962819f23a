//! A TCP proxy with faults, before any service: what it does to a connection is fixed by its seed and the connection's number.
//!
//! * `sky`: which faults there are, and which connection suffers which
//! * `flow`: one connection, its bytes and its end

mod flow;
mod sky;

pub use sky::{Fault, KINDS, Kind, Sky, Way};

use flow::Flow;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// A running proxy; it and its connections are gone when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    /// Where clients connect.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    runtime: Option<tokio::runtime::Runtime>,
}

/// What all connections of a proxy know.
#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    seed: u64,
    sky: Mutex<Sky>,
    /// Grows whenever all connections have to end.
    severed: watch::Sender<u64>,
    connections: AtomicU64,
    bytes: AtomicU64,
    struck: [AtomicUsize; KINDS.len()],
}

impl Proxy {
    /// Listens on a free port of `127.0.0.1` for `target`; all is clear at first.
    pub fn before(target: SocketAddr, seed: u64) -> Self {
        Self::at(([127, 0, 0, 1], 0).into(), target, seed)
    }

    /// Listens on `address`: a storage that advertises another address than its own is reached there.
    pub fn at(address: SocketAddr, target: SocketAddr, seed: u64) -> Self {
        let listener = TcpListener::bind(address).unwrap_or_else(|error| panic!("cannot listen on {address}: {error}"));
        listener.set_nonblocking(true).expect("a listener can be made non-blocking");
        let address = listener.local_addr().expect("a listener has an address");
        let shared = Arc::new(Shared {
            target,
            seed,
            sky: Mutex::new(Sky::Clear),
            severed: watch::Sender::new(0),
            connections: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            struck: std::array::from_fn(|_| AtomicUsize::new(0)),
        });
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().expect("a runtime");
        runtime.spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, runtime: Some(runtime) }
    }

    /// What befalls connections from now on; those that live keep what they have.
    pub fn set(&self, sky: Sky) {
        *self.shared.sky.lock().unwrap_or_else(PoisonError::into_inner) = sky;
    }

    /// Resets every living connection, those that are half open too.
    pub fn sever(&self) {
        self.shared.severed.send_modify(|count| *count += 1);
    }

    /// What befalls connections from now on; those that live are reset.
    pub fn turn(&self, sky: Sky) {
        self.set(sky);
        self.sever();
    }

    /// Connections so far, refused ones too.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Bytes that went through, both ways.
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// How often a fault of this kind struck.
    pub fn struck(&self, kind: Kind) -> usize {
        self.shared.struck[kind as usize].load(Ordering::Relaxed)
    }

    /// Every kind with how often it struck, for the output of tests.
    pub fn told(&self) -> String {
        let told = KINDS.iter().map(|kind| (kind, self.struck(*kind))).filter(|(_, count)| *count > 0);
        let told: Vec<String> = told.map(|(kind, count)| format!("{kind:?} {count}")).collect();
        format!("{} connections, {} bytes, struck: {}", self.connections(), self.bytes(), told.join(", "))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a runtime is there");
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        let number = shared.connections.fetch_add(1, Ordering::Relaxed);
        let fault = shared.sky.lock().unwrap_or_else(PoisonError::into_inner).fault(shared.seed, number);
        tokio::spawn(Flow { shared: Arc::clone(&shared), fault }.run(client));
    }
}
