//! Stands between a client and its broker, reads the client's MQTT packets, writes down the blocks that it uploads, spoils one of
//! them and cuts the connection at another.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// A block, as the client sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) offset: u64,
    pub(crate) size: u64,
    pub(crate) complete: bool,
}

/// Which blocks suffer, counted from 0 over all connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Faults {
    /// One byte of its file bytes is another one on the other side.
    pub(crate) spoil: usize,
    /// The connection ends instead of it.
    pub(crate) cut: usize,
}

/// A running relay.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    blocks: Arc<Mutex<Vec<Block>>>,
}

impl Relay {
    /// Listens on a free port. Its threads end with the connections; the listener's ends with the test.
    pub(crate) fn before(broker: &str, faults: Faults) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let blocks = Arc::new(Mutex::new(Vec::new()));
        let (broker, kept) = (broker.trim_start_matches("mqtt://").to_owned(), Arc::clone(&blocks));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let broker = TcpStream::connect(&broker).expect("the broker listens");
                let (mut back, mut to) = (broker.try_clone().unwrap(), client.try_clone().unwrap());
                std::thread::spawn(move || {
                    drop(std::io::copy(&mut back, &mut to));
                    drop(to.shutdown(Shutdown::Both));
                });
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || {
                    forward(&client, &broker, faults, &kept);
                    drop(client.shutdown(Shutdown::Both));
                    drop(broker.shutdown(Shutdown::Both));
                });
            }
        });
        Self { address, blocks }
    }

    /// The blocks so far.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Packet by packet, until either side ends or the cut comes.
fn forward(mut client: &TcpStream, mut broker: &TcpStream, faults: Faults, kept: &Mutex<Vec<Block>>) {
    while let Some(mut packet) = read_packet(&mut client) {
        if let Some((block, middle)) = read_block(&packet) {
            let mut blocks = kept.lock().unwrap_or_else(PoisonError::into_inner);
            let number = blocks.len();
            blocks.push(block);
            if number == faults.cut {
                return;
            }
            if number == faults.spoil {
                packet[middle] ^= 1;
            }
        }
        if broker.write_all(&packet).is_err() {
            return;
        }
    }
}

/// A whole MQTT packet, its fixed header included.
fn read_packet(client: &mut impl Read) -> Option<Vec<u8>> {
    let mut packet = vec![0];
    client.read_exact(&mut packet).ok()?;
    let (mut length, mut shift) = (0, 0);
    loop {
        let mut byte = [0];
        client.read_exact(&mut byte).ok()?;
        packet.push(byte[0]);
        length |= usize::from(byte[0] & 0x7f) << shift;
        shift += 7;
        if byte[0] & 0x80 == 0 {
            break;
        }
    }
    let body = packet.len();
    packet.resize(body + length, 0);
    client.read_exact(&mut packet[body..]).ok()?;
    Some(packet)
}

/// The block in a PUBLISH of `…/upload/mqtt/send`, and where in the packet the middle of its file bytes is.
fn read_block(packet: &[u8]) -> Option<(Block, usize)> {
    if packet[0] >> 4 != 3 {
        return None;
    }
    let variable = 1 + packet[1..].iter().position(|byte| byte & 0x80 == 0)? + 1;
    let number = |at: usize| Some(usize::from(u16::from_be_bytes(packet.get(at..at + 2)?.try_into().ok()?)));
    let topic_end = variable + 2 + number(variable)?;
    if !packet.get(variable + 2..topic_end)?.ends_with(b"/thing/file/upload/mqtt/send") {
        return None;
    }
    let identified = packet[0] & 0b110 != 0;
    let payload = topic_end + if identified { 2 } else { 0 };
    let bytes = payload + 2 + number(payload)?;
    let header: serde_json::Value = serde_json::from_slice(packet.get(payload + 2..bytes)?).ok()?;
    let params = &header["params"];
    let (offset, size) = (params["offset"].as_u64()?, params["bSize"].as_u64()?);
    let complete = params["isComplete"].as_bool().unwrap_or_default();
    Some((Block { offset, size, complete }, bytes + size as usize / 2))
}
