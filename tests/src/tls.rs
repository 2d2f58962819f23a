//! TLS before a service that speaks none, as a proxy does it.

use crate::certificates::Pair;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// How long one side is listened to before the other.
const TURN: Duration = Duration::from_millis(5);

/// Takes TLS connections with this certificate on a free port, which it gives, and hands on what comes to `target`, until the test is over.
pub fn before(target: &str, pair: &Pair) -> u16 {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    let chain = CertificateDer::pem_file_iter(&pair.certificate).expect("a file").collect::<Result<_, _>>();
    let key = PrivateKeyDer::from_pem_file(&pair.key).expect("a key");
    let config = builder.with_no_client_auth().with_single_cert(chain.expect("certificates"), key).expect("a pair");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    let (target, config) = (target.to_owned(), Arc::new(config));
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (target, config) = (target.clone(), Arc::clone(&config));
            // How a client leaves is its own affair.
            std::thread::spawn(move || drop(hand_on(client, &target, config)));
        }
    });
    port
}

fn hand_on(client: TcpStream, target: &str, config: Arc<ServerConfig>) -> io::Result<()> {
    let mut server = TcpStream::connect(target)?;
    client.set_read_timeout(Some(TURN))?;
    server.set_read_timeout(Some(TURN))?;
    let mut client = StreamOwned::new(ServerConnection::new(config).map_err(io::Error::other)?, client);
    let mut bytes = vec![0; 16 << 10];
    loop {
        let Some(come) = heard(client.read(&mut bytes))? else { return Ok(()) };
        server.write_all(&bytes[..come])?;
        let Some(come) = heard(server.read(&mut bytes))? else { return Ok(()) };
        client.write_all(&bytes[..come])?;
        client.flush()?;
    }
}

/// How many bytes came; nothing at the end.
fn heard(read: io::Result<usize>) -> io::Result<Option<usize>> {
    match read {
        Ok(0) => Ok(None),
        Ok(come) => Ok(Some(come)),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Ok(Some(0)),
        Err(error) => Err(error),
    }
}
