//! Lists of groups and storages, in every layout: the bytes are put together here by the tables of the protocol, not by the
//! crate's own writer.

use packhorse_fastdfs::wire::{
    AddressSize, GroupRecord, RECORD_COUNTERS, Statistics, StorageRecord, Tried, WireError, group_records,
    storage_records,
};
use proptest::{collection::vec, prelude::*};

use crate::formats::group;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Since {
    V6_13_1,
    V6_13_0,
    V5,
}

fn text(text: &str, width: usize) -> Vec<u8> {
    let mut field = text.as_bytes().to_vec();
    assert!(field.len() <= width);
    field.resize(width, 0);
    field
}

fn numbers(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

fn group_bytes(group: &GroupRecord, since: Since) -> Vec<u8> {
    let g = group;
    let mut fields = vec![g.total_mb, g.free_mb];
    fields.extend((since == Since::V6_13_1).then_some(g.reserved_mb));
    fields.extend([g.trunk_free_mb, g.storages, g.port]);
    match since {
        Since::V5 => fields.extend([g.http_port.unwrap(), g.readable]),
        Since::V6_13_0 | Since::V6_13_1 => fields.extend([g.readable, g.writable]),
    }
    fields.extend([g.current_write_server, g.paths, g.folders, g.current_trunk_file.unwrap_or(u64::MAX)]);
    [text(g.name.as_str(), 17), numbers(&fields)].concat()
}

/// As a server of that version can have it.
fn groups(since: Since) -> impl Strategy<Value = Vec<GroupRecord>> {
    let counts = (1_u64..=32).prop_flat_map(|storages| (Just(storages), 0..=storages, 0..=storages));
    let trunk = prop::option::of(0..1_u64 << 40);
    let one =
        (group(), any::<[u32; 8]>(), counts, trunk, 33_u64..65536).prop_map(move |(name, n, counts, trunk, http)| {
            let [total_mb, free_mb, reserved_mb, trunk_free_mb, port, current_write_server, paths, folders] =
                n.map(u64::from);
            let (storages, readable, writable) = counts;
            let old = since == Since::V5;
            GroupRecord {
                name,
                total_mb,
                free_mb,
                reserved_mb: if since == Since::V6_13_1 { reserved_mb } else { 0 },
                trunk_free_mb,
                storages,
                port,
                http_port: old.then_some(http),
                readable,
                writable: if old { readable } else { writable },
                current_write_server,
                paths,
                folders,
                current_trunk_file: trunk,
            }
        });
    vec(one, 0..=32)
}

fn storage_bytes(storage: &StorageRecord, address_width: usize) -> Vec<u8> {
    let s = storage;
    let old = s.http_port.is_some();
    let mut bytes = vec![s.status];
    bytes.extend((!old).then_some(s.mode));
    bytes.extend([text(&s.id, 16), text(&s.address, address_width)].concat());
    bytes.extend(if old { text(&s.domain, 128) } else { Vec::new() });
    bytes.extend([text(&s.source_id, 16), text(&s.version, if old { 6 } else { 8 })].concat());
    let mut fields = vec![s.joined_unix, s.started_unix, s.total_mb, s.free_mb];
    fields.extend((!old).then_some(s.reserved_mb));
    fields.extend([s.upload_priority, s.paths, s.folders, s.current_write_path, s.port]);
    fields.extend(s.http_port);
    bytes.extend(numbers(&fields));
    for count in [s.allocated_connections, s.connections, s.most_connections] {
        bytes.extend(count.to_be_bytes());
    }
    bytes.extend(numbers(&s.counters));
    bytes.push(s.is_trunk_server.into());
    bytes
}

fn storages(old: bool) -> impl Strategy<Value = Vec<StorageRecord>> {
    let texts = ("[!-~]{0,16}", "[0-9.:a-f-]{0,15}", "[a-z.]{0,128}", "[!-~]{0,16}", "[0-9.]{0,6}");
    let counters = vec(0..=i64::MAX as u64, RECORD_COUNTERS);
    let one = (texts, any::<[u32; 14]>(), counters, any::<[u8; 2]>(), any::<bool>());
    vec(
        one.prop_map(move |((id, address, domain, source_id, version), n, counters, [status, mode], trunk)| {
            let wide = n.map(u64::from);
            StorageRecord {
                status,
                mode: if old { 6 } else { mode },
                id,
                address,
                domain: if old { domain } else { String::new() },
                source_id,
                version,
                joined_unix: wide[0],
                started_unix: wide[1],
                total_mb: wide[2],
                free_mb: wide[3],
                reserved_mb: if old { 0 } else { wide[4] },
                upload_priority: wide[5],
                paths: wide[6],
                folders: wide[7],
                current_write_path: wide[8],
                port: wide[9],
                http_port: old.then_some(wide[10]),
                allocated_connections: n[11],
                connections: n[12],
                most_connections: n[13],
                counters: counters.try_into().unwrap(),
                is_trunk_server: trunk,
            }
        }),
        0..=32,
    )
}

proptest! {
    #[test]
    fn groups_of_all_versions_are_read(new in groups(Since::V6_13_1), first in groups(Since::V6_13_0), old in groups(Since::V5)) {
        for (groups, since, length) in [(new, Since::V6_13_1, 113), (first, Since::V6_13_0, 105), (old, Since::V5, 105)] {
            let bytes: Vec<u8> = groups.iter().flat_map(|group| group_bytes(group, since)).collect();
            prop_assert_eq!(bytes.len(), groups.len() * length);
            prop_assert_eq!(&group_records(&bytes).unwrap(), &groups);
            if since == Since::V6_13_1 {
                prop_assert_eq!(groups.iter().flat_map(GroupRecord::encode).collect::<Vec<_>>(), bytes);
            }
        }
    }

    #[test]
    fn storages_of_all_versions_are_read(new in storages(false), old in storages(true)) {
        for (size, width, length) in [(AddressSize::Ipv4, 16, 487), (AddressSize::Ipv6, 46, 517)] {
            let bytes: Vec<u8> = new.iter().flat_map(|storage| storage_bytes(storage, width)).collect();
            prop_assert_eq!(bytes.len(), new.len() * length);
            prop_assert_eq!(&storage_records(&bytes).unwrap(), &new);
            prop_assert_eq!(new.iter().flat_map(|storage| storage.encode(size)).collect::<Vec<_>>(), bytes);
        }
        let bytes: Vec<u8> = old.iter().flat_map(|storage| storage_bytes(storage, 16)).collect();
        prop_assert_eq!(bytes.len(), old.len() * 612);
        prop_assert_eq!(&storage_records(&bytes).unwrap(), &old);
    }
}

fn some_group(name: &str) -> GroupRecord {
    GroupRecord { storages: 2, readable: 1, writable: 1, port: 23000, ..GroupRecord::new(name.parse().unwrap()) }
}

#[test]
fn a_length_that_two_layouts_fit_is_read_by_what_it_holds() {
    // 105 records of 113 bytes are as long as 113 of 105.
    let new: Vec<_> = (0..105).map(|number| some_group(&format!("g{number}"))).collect();
    let bytes: Vec<u8> = new.iter().flat_map(GroupRecord::encode).collect();
    assert_eq!(group_records(&bytes).unwrap(), new);
    let old: Vec<_> = (0..113).map(|number| some_group(&format!("g{number}"))).collect();
    let bytes: Vec<u8> = old.iter().flat_map(|group| group_bytes(group, Since::V6_13_0)).collect();
    assert_eq!(group_records(&bytes).unwrap(), old);
}

#[test]
fn the_sixth_number_tells_versions_apart() {
    let http = GroupRecord { http_port: Some(8080), ..some_group("group1") };
    assert_eq!(group_records(&group_bytes(&http, Since::V5)).unwrap(), [http]);
    // One group whose number is no count is enough: a tracker has one version.
    let small = GroupRecord { http_port: Some(1), ..some_group("group2") };
    let large = GroupRecord { http_port: Some(80), ..some_group("group3") };
    let bytes: Vec<u8> = [&small, &large].into_iter().flat_map(|group| group_bytes(group, Since::V5)).collect();
    assert_eq!(group_records(&bytes).unwrap(), [small, large]);
    // What the documentation warns of.
    let none = GroupRecord { http_port: Some(0), ..some_group("group1") };
    let read = &group_records(&group_bytes(&none, Since::V5)).unwrap()[0];
    assert_eq!((read.http_port, read.readable, read.writable), (None, 0, 1));
}

#[test]
fn statistics_have_the_order_of_the_wire() {
    let counters: [u64; RECORD_COUNTERS] = std::array::from_fn(|index| index as u64);
    let statistics = Statistics::of(&counters);
    let pair = |total| Tried { total, success: total + 1 };
    assert_eq!((statistics.upload, statistics.delete, statistics.delete_link), (pair(0), pair(10), pair(18)));
    assert_eq!((statistics.upload_bytes, statistics.sync_out_bytes), (pair(20), pair(30)));
    assert_eq!((statistics.file_open, statistics.file_write), (pair(32), pair(36)));
    assert_eq!((statistics.last_source_update_unix, statistics.last_heartbeat_unix), (38, 41));
    assert_eq!(statistics.counters(), counters);
}

#[test]
fn lists_of_other_lengths_are_refused() {
    for length in [1, 104, 106, 112, 114, 486, 488, 516, 611, 1023] {
        let refused = WireError::Length { what: "a list of groups", length };
        assert_eq!(group_records(&vec![0; length as usize]), Err(refused));
        let refused = WireError::Length { what: "a list of storages", length };
        assert_eq!(storage_records(&vec![0; length as usize]), Err(refused));
    }
    assert_eq!(group_records(&[]), Ok(vec![]));
    assert_eq!(storage_records(&[]), Ok(vec![]));
    let negative = [text("group1", 17), numbers(&[u64::MAX; 12])].concat();
    assert_eq!(group_records(&negative), Err(WireError::Number { what: "a group record" }));
}
