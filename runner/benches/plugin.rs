//! What a plugin costs: a call, one packet and sixteen at a time; opening a session; loading from the cache.
#![expect(clippy::unwrap_used, reason = "what cannot go on fails here, and says where")]

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use md5::{Digest as _, Md5};
use packhorse::plugin::{CacheFolder, Host, HostSettings};
use packhorse_core::transfer::{
    Algorithm, Chunk, Command, Data, Digest, Direction, Driver, Event, FileInfo, Incoming, Opening, Sum,
};

const PIECE: usize = 1024;

fn opening(driver: Driver, bytes: &[u8]) -> Opening {
    let md5 = Digest { algorithm: Algorithm::Md5, value: Md5::digest(bytes).to_vec() };
    let meta = vec![("type".to_owned(), "log".to_owned())];
    let file = FileInfo { name: "file".to_owned(), size: Some(bytes.len() as u64), digests: vec![md5], meta };
    let direction = driver.direction();
    let (device, vars) = ("dev-1".to_owned(), vec![]);
    Opening {
        direction,
        driver,
        device,
        file,
        packet_size: 1024,
        epoch: 1,
        attempt: 1,
        started_at: 0,
        done: vec![],
        vars,
        saved: vec![],
    }
}

fn codecs(criterion: &mut Criterion) {
    let cache = tempfile::tempdir().unwrap();
    let folder = cache.path().join("cache");
    let settings = || HostSettings { cache: CacheFolder::At(folder.clone()), slots: 64, ..HostSettings::default() };
    let host = Host::new(settings()).unwrap();
    for name in ["json-base64", "acme-tlv"] {
        let plugin = host.load(name).unwrap();
        let bytes: Vec<u8> = (0..64 * PIECE).map(|at| (at * 31 % 251) as u8).collect();
        let pieces: Vec<&[u8]> = bytes.chunks(PIECE).take(16).collect();
        let offset = |at: usize| (at * PIECE) as u64;
        let driver = |direction: Direction| plugin.description().mode(direction).unwrap().driver;

        let push = opening(driver(Direction::Push), &bytes);
        let mut session = plugin.open(&push).unwrap();
        let chunks: Vec<Command> = (0..pieces.len())
            .map(|at| Command::Chunk(Chunk { tag: 0, offset: offset(at), bytes: pieces[at].to_vec(), last: false }))
            .collect();
        for count in [1, 16] {
            criterion.bench_function(&format!("{name} encode x{count}"), |bench| {
                let fresh = || chunks[..count].to_vec();
                bench.iter_batched(fresh, |batch| session.encode(batch).unwrap(), BatchSize::SmallInput);
            });
        }
        criterion.bench_function(&format!("{name} open"), |bench| bench.iter(|| plugin.open(&push).unwrap()));

        let pull = opening(driver(Direction::Pull), &bytes);
        let mut device = plugin.open_device(&pull).unwrap();
        let mut platform = plugin.open(&pull).unwrap();
        let datas = (0..pieces.len()).map(|at| {
            Event::Data(Data { tag: 0, offset: offset(at), bytes: pieces[at].to_vec(), sum: Sum::Absent, last: false })
        });
        let packets: Vec<Incoming> = device
            .encode(datas.collect())
            .unwrap()
            .messages
            .into_iter()
            .map(|message| Incoming { route: message.route, payload: message.payload, more: message.more })
            .collect();
        for count in [1, 16] {
            criterion.bench_function(&format!("{name} decode x{count}"), |bench| {
                let fresh = || packets[..count].to_vec();
                bench.iter_batched(fresh, |batch| platform.decode(batch).unwrap(), BatchSize::SmallInput);
            });
        }
        drop((session, device, platform));

        let component = plugin.bytes();
        drop(plugin);
        criterion.bench_function(&format!("{name} cached load"), |bench| {
            bench.iter(|| host.load_bytes(name, &component).unwrap());
        });
    }
}

criterion_group!(benches, codecs);
criterion_main!(benches);
