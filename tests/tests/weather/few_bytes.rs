//! A broker of a few bytes, for what a real one cannot be made to say: it lets everybody in and takes everything, but for one answer.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The one answer that is not "yes", by its reason code.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Says {
    /// To CONNECT.
    Connack(u8),
    /// To every filter of a SUBSCRIBE.
    Suback(u8),
    /// To PUBLISH of QoS 1.
    Puback(u8),
    /// After the first SUBSCRIBE was granted.
    Disconnect(u8),
}

pub(crate) struct FewBytes {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicU64>,
}

impl FewBytes {
    /// Listens on a free port until the test program ends.
    pub(crate) fn start(says: Says) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::<AtomicU64>::default();
        let count = Arc::clone(&connections);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::Relaxed);
                std::thread::spawn(move || drop(serve(stream, says)));
            }
        });
        Self { address, connections }
    }

    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}

fn serve(mut stream: TcpStream, says: Says) -> io::Result<()> {
    stream.set_nodelay(true)?;
    packet(&mut stream)?;
    let welcome = if let Says::Connack(code) = says { code } else { 0 };
    stream.write_all(&[0x20, 3, 0, welcome, 0])?;
    if welcome != 0 {
        return Ok(());
    }
    loop {
        let (kind, body) = packet(&mut stream)?;
        match kind {
            0xc0 => stream.write_all(&[0xd0, 0])?,
            0x82 => {
                let code = if let Says::Suback(code) = says { code } else { 1 };
                let codes = vec![code; filters(&body)];
                stream.write_all(&[&[0x90, 3 + codes.len() as u8, body[0], body[1], 0], &codes[..]].concat())?;
                if let Says::Disconnect(code) = says {
                    return stream.write_all(&[0xe0, 2, code, 0]);
                }
            }
            // QoS 1, retained or not, sent again or not.
            0x30..=0x3f if kind & 0x06 == 0x02 => {
                let id = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
                let code = if let Says::Puback(code) = says { code } else { 0 };
                stream.write_all(&[0x40, 4, body[id], body[id + 1], code, 0])?;
            }
            _ => {}
        }
    }
}

/// Filters of a SUBSCRIBE without properties: each is its length, its text and a byte of options.
fn filters(body: &[u8]) -> usize {
    let (mut at, mut count) = (3, 0);
    while at + 2 < body.len() {
        at += 2 + usize::from(u16::from_be_bytes([body[at], body[at + 1]])) + 1;
        count += 1;
    }
    count
}

/// First byte and body.
fn packet(stream: &mut TcpStream) -> io::Result<(u8, Vec<u8>)> {
    let mut byte = [0];
    stream.read_exact(&mut byte)?;
    let (kind, mut length, mut shift) = (byte[0], 0, 0);
    loop {
        stream.read_exact(&mut byte)?;
        length |= usize::from(byte[0] & 0x7f) << shift;
        shift += 7;
        if byte[0] & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok((kind, body))
}
