//! Peers that are made up: trackers that always name one storage, storages that follow a script, proxies that cut.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use packhorse_fastdfs::{
    Client, ClientOptions, FileId,
    wire::{AddressSize, Command, FetchTarget, HEADER_LEN, Header, Status, StoreTarget, message},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// A normal file of 13 bytes, an appender, and a slave.
pub(crate) const FILE: &str = "group1/M00/00/00/fwAAA2sAAcSAGJxEAAAADcRYHyQ246.txt";
pub(crate) const APPENDER: &str = "group1/M00/00/00/fwAAA2sAAcSEYEJuAAAAAMRYHyQ246.log";

pub(crate) fn file() -> FileId {
    FILE.parse().unwrap()
}

pub(crate) fn appender() -> FileId {
    APPENDER.parse().unwrap()
}

pub(crate) fn ok(body: &[u8]) -> Vec<u8> {
    message(Command::ANSWER, Status::OK, body)
}

pub(crate) fn refused(status: Status) -> Vec<u8> {
    message(Command::ANSWER, status, &[])
}

/// What a scripted peer does with a connection after an answer that is not whole.
#[derive(Clone, Copy)]
pub(crate) enum Ending {
    Close,
    Reset,
    /// Says nothing more, and keeps the connection.
    Silence,
    /// Sends zeros for as long as anybody takes them.
    Endless,
}

/// A peer that answers the n-th request with the n-th message, and then is gone.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<Vec<u8>>>>,
    accepted: Arc<AtomicUsize>,
}

impl Peer {
    pub(crate) async fn scripted(answers: Vec<Vec<u8>>) -> Self {
        Self::ending(answers, Ending::Close).await
    }

    pub(crate) async fn ending(answers: Vec<Vec<u8>>, ending: Ending) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let peer = Self { address, requests: Arc::default(), accepted: Arc::default() };
        let (requests, accepted) = (Arc::clone(&peer.requests), Arc::clone(&peer.accepted));
        tokio::spawn(async move {
            let mut answers = answers.into_iter();
            let mut held = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                accepted.fetch_add(1, Ordering::Relaxed);
                while let Some(request) = read_request(&mut stream).await {
                    requests.lock().unwrap().push(request);
                    let Some(answer) = answers.next() else { return };
                    // A client that has seen enough may be gone.
                    let sent = stream.write_all(&answer).await;
                    if sent.is_err() || !is_whole(&answer) {
                        held.extend(end(stream, ending).await);
                        break;
                    }
                }
            }
        });
        peer
    }

    /// Every request that came, header and body.
    pub(crate) fn requests(&self) -> Vec<Vec<u8>> {
        self.requests.lock().unwrap().clone()
    }

    /// Connections that came.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

async fn end(mut stream: TcpStream, ending: Ending) -> Option<TcpStream> {
    match ending {
        Ending::Close => None,
        Ending::Reset => {
            stream.set_zero_linger().unwrap();
            None
        }
        Ending::Silence => Some(stream),
        Ending::Endless => {
            while stream.write_all(&[0; 4096]).await.is_ok() {}
            None
        }
    }
}

/// Whether the answer is as long as it says, or is no answer at all but could be taken for one.
fn is_whole(answer: &[u8]) -> bool {
    let header = answer.first_chunk().map(Header::decode);
    header.is_some_and(|header| header.is_ok_and(|header| header.length == (answer.len() - HEADER_LEN) as u64))
}

async fn read_request(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut request = vec![0; HEADER_LEN];
    stream.read_exact(&mut request).await.ok()?;
    let header = Header::decode(request.first_chunk().unwrap()).unwrap();
    request.resize(HEADER_LEN + header.length as usize, 0);
    stream.read_exact(&mut request[HEADER_LEN..]).await.ok()?;
    Some(request)
}

/// A tracker that names `storages`, whatever it is asked; the first one where it may name only one.
pub(crate) async fn tracker_of(storages: &[SocketAddr]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let storages = storages.to_vec();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let storages = storages.clone();
            tokio::spawn(async move {
                let group = "group1".parse().unwrap();
                while let Some(request) = read_request(&mut stream).await {
                    let body = match Command(request[8]) {
                        Command::STORE_ANY_ONE | Command::STORE_GROUP_ONE => {
                            StoreTarget::encode(&group, &storages[..1], 0, AddressSize::Ipv4)
                        }
                        Command::STORE_ANY_ALL | Command::STORE_GROUP_ALL => {
                            StoreTarget::encode(&group, &storages, 0, AddressSize::Ipv4)
                        }
                        Command::FETCH_ALL => FetchTarget::encode(&group, &storages, AddressSize::Ipv4),
                        _ => FetchTarget::encode(&group, &storages[..1], AddressSize::Ipv4),
                    };
                    stream.write_all(&ok(&body)).await.unwrap();
                }
            });
        }
    });
    address
}

/// Options of a client whose tracker always names this storage; pauses are short.
pub(crate) async fn options_of(storage: SocketAddr) -> ClientOptions {
    let mut options = ClientOptions::new([tracker_of(&[storage]).await.to_string()]);
    options.io_timeout = Duration::from_secs(20);
    options.pause = Duration::from_millis(1);
    options
}

/// A client whose tracker always names this storage.
pub(crate) async fn client_of_storage(storage: SocketAddr) -> Client {
    Client::new(options_of(storage).await)
}

/// As [`client_of_storage`], which repeats nothing.
pub(crate) async fn impatient_client(storage: SocketAddr) -> Client {
    let mut options = options_of(storage).await;
    options.tries = 1;
    Client::new(options)
}

/// Where a proxy cuts a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    /// After so many bytes from the client.
    Request(u64),
    /// After so many bytes from the storage.
    Answer(usize),
}

/// Passes bytes on to `storage`, and cuts the first connections. The storage has done what it was asked for and has closed
/// before the client learns of the cut.
pub(crate) async fn cutting(storage: SocketAddr, cuts: Vec<Cut>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut cuts = cuts.into_iter();
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let cut = cuts.next().unwrap_or(Cut::Request(u64::MAX));
            tokio::spawn(pass_on(client, storage, cut));
        }
    });
    address
}

async fn pass_on(mut client: TcpStream, storage: SocketAddr, cut: Cut) {
    let mut server = TcpStream::connect(storage).await.unwrap();
    let (requests, answers) = match cut {
        Cut::Request(limit) => (limit, usize::MAX),
        Cut::Answer(limit) => (u64::MAX, limit),
    };
    let (from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let asking = async {
        // A limit of 0 would not wait for the client to speak.
        let _ = tokio::io::copy(&mut from_client.take(requests), &mut to_server).await;
    };
    let answering = pass_answers(&mut from_server, &mut to_client, answers);
    // Whichever ends first ends both.
    tokio::select! {
        () = asking => {}
        () = answering => {}
    }
    let _ = to_server.shutdown().await;
    let mut rest = [0; 4096];
    while from_server.read(&mut rest).await.is_ok_and(|count| count > 0) {}
}

/// Ends when there is more than may be passed on, not before.
async fn pass_answers(
    from: &mut (impl tokio::io::AsyncRead + Unpin),
    to: &mut (impl tokio::io::AsyncWrite + Unpin),
    mut limit: usize,
) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let passed = count.min(limit);
        if to.write_all(&buffer[..passed]).await.is_err() || passed < count {
            return;
        }
        limit -= passed;
    }
}
