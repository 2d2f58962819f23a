//! Recorded traffic through the client: given the recorded answers it sends the recorded requests, byte for byte.

use packhorse_fastdfs::{
    Client, ClientOptions, FileId, GroupName, Place,
    wire::{
        AppendHead, Command, DownloadRequest, HEADER_LEN, Header, MetadataRequest, ModifyHead, SlaveHead, Status,
        TruncateRequest, UploadHead, parse_file_request, parse_stored,
    },
};

use crate::{
    peers::{Peer, ok, tracker_of},
    recorded::{Recorded, all},
};

/// What no operation of the client sends, and why.
const NEVER_SENT: [(&str, &str); 39] = [
    ("err_query_store_with_group_short_body", "a group is a whole field"),
    ("err_query_store_without_group_extra_body", "a query of any group has no body"),
    ("tracker_cluster_stat", "for tools"),
    ("err_delete_group_unknown", "for administrators"),
    ("err_delete_storage_unknown", "for administrators"),
    ("err_unknown_command_200", "no such command"),
    ("err_negative_length", "the length does not fit"),
    ("err_huge_length", "the length does not fit"),
    ("err_truncated_header", "not whole"),
    ("quit", "has no answer to compare with; see the test below"),
    ("request_using_storage_join_only_cmd", "for storages"),
    ("err_upload_bad_ext", "no value of the type of extensions"),
    ("err_upload_short_body", "not whole"),
    ("err_truncate_negative", "no value of the type of sizes"),
    ("err_download_zero_byte_file", "known to be empty without asking"),
    ("err_download_lowercase_dirs", "no value of the type of file names"),
    ("err_download_dotdot", "no value of the type of file names"),
    ("err_download_short_name", "no value of the type of file names"),
    ("err_download_body_no_filename", "no value of the type of file names"),
    ("err_query_file_info_missing_silent", "the size is asked for without the CRC too"),
    ("err_upload_slave_empty_prefix", "no value of the type of prefixes"),
    ("set_metadata_overwrite", "items are sent in the order of their keys"),
    ("err_set_metadata_bad_flag", "no value of the type of flags"),
    ("set_metadata_trailing_record_separator", "not how items are written"),
    ("set_metadata_item_without_separator", "not how items are written"),
    ("set_metadata_long_name_value", "longer than items may be"),
    ("err_truncated_header", "not whole"),
    ("err_truncated_body", "not whole"),
    ("err_active_test_with_body", "a probe has no body"),
    ("quit", "has no answer to compare with; see the test below"),
    ("query_fetch_one_garbage_name", "no value of the type of file names"),
    ("pipelined_two_active_tests", "one request at a time"),
    ("pipelined_two_active_tests", "one request at a time"),
    ("err_download_group_space_padded", "no value of the type of groups"),
    ("download_trailing_nul_in_name", "names end without NUL"),
    ("download_request_status_ignored", "the status of this request is 0"),
    ("err_download_leading_slash", "no value of the type of file names"),
    ("upload_ext_junk_after_nul", "fields are filled with NUL"),
    ("err_upload_negative_size", "no value of the type of sizes"),
];

/// Refused by the server, but to the client just the end of the file.
const OTHER_OUTCOME: [&str; 2] = ["err_download_offset_at_eof", "err_download_zero_byte_file"];

type Done = Option<bool>;

#[tokio::test]
async fn the_client_sends_what_was_recorded() {
    let (mut same, mut never_sent, mut other_outcome) = (0, Vec::new(), Vec::new());
    for item in all() {
        let peer = Peer::scripted(vec![item.response.clone()]).await;
        let done = play(&item, &peer).await;
        let sent = peer.requests();
        if done.is_some_and(|done| done != (item.response[9] == 0)) {
            other_outcome.push(item.name.clone());
        }
        match done {
            Some(_) if sent.first() == Some(&item.request) => same += 1,
            _ => never_sent.push(item.name.clone()),
        }
    }
    assert_eq!(never_sent, NEVER_SENT.map(|(name, _)| name));
    assert_eq!(other_outcome, OTHER_OUTCOME);
    assert_eq!((same, same + NEVER_SENT.len()), (101, 140));
}

/// Whether what the client did succeeded; none where it has no operation for this.
async fn play(item: &Recorded, peer: &Peer) -> Done {
    let header = item.request.first_chunk().and_then(|bytes| Header::decode(bytes).ok())?;
    let body = &item.request[HEADER_LEN..];
    if header.length != body.len() as u64 {
        return None;
    }
    let mut options = ClientOptions::new([peer.address.to_string()]);
    options.tries = 1;
    let at_tracker = Client::new(options.clone());
    options.trackers = vec![tracker_of(&[peer.address]).await.to_string()];
    let at_storage = Client::new(options);
    match header.command {
        Command::ACTIVE_TEST if body.is_empty() => Some(at_storage.active_test(peer.address).await.is_ok()),
        Command::UPLOAD | Command::UPLOAD_APPENDER | Command::UPLOAD_SLAVE => {
            upload(&at_storage, header, body, peer, group_of(item)).await
        }
        Command::APPEND | Command::MODIFY | Command::TRUNCATE | Command::REGENERATE => {
            change(&at_storage, header.command, body).await
        }
        Command::DELETE | Command::FILE_INFO | Command::GET_METADATA | Command::SET_METADATA | Command::DOWNLOAD => {
            on_file(&at_storage, header, body).await
        }
        _ => at_the_tracker(&at_tracker, header, body).await,
    }
}

/// The group that the server answered with; requests do not name it.
fn group_of(item: &Recorded) -> GroupName {
    let stored = item.response.get(HEADER_LEN..).and_then(|body| parse_file_request(body).ok());
    stored.map_or_else(|| "group1".parse().unwrap(), |file| file.group)
}

fn split(body: &[u8], head: usize) -> Option<(&[u8], &[u8])> {
    body.split_at_checked(head)
}

async fn at_the_tracker(client: &Client, header: Header, body: &[u8]) -> Done {
    let group = || body.get(..GroupName::WIDTH).and_then(group_of_field);
    let file = || parse_file_request(body).ok();
    Some(match header.command {
        Command::STORE_ANY_ONE if body.is_empty() => client.store_target().await.is_ok(),
        Command::STORE_ANY_ALL => client.store_targets().await.is_ok(),
        Command::STORE_GROUP_ONE => client.at(Place::Group(group()?)).store_target().await.is_ok(),
        Command::STORE_GROUP_ALL => client.at(Place::Group(group()?)).store_targets().await.is_ok(),
        Command::LIST_GROUPS => client.groups().await.is_ok(),
        Command::LIST_ONE_GROUP => client.group(&group()?).await.is_ok(),
        Command::LIST_STORAGES if body.len() == GroupName::WIDTH => client.storages(&group()?).await.is_ok(),
        Command::LIST_STORAGES => {
            client.storage(&group()?, str::from_utf8(&body[GroupName::WIDTH..]).ok()?).await.is_ok()
        }
        Command(95) => client.leader().await.is_ok(),
        Command::FETCH_ONE => client.fetch_target(&file()?).await.is_ok(),
        Command::FETCH_ALL => client.fetch_targets(&file()?).await.is_ok(),
        Command::UPDATE => client.update_target(&file()?).await.is_ok(),
        _ => return None,
    })
}

fn group_of_field(field: &[u8]) -> Option<GroupName> {
    str::from_utf8(field).ok()?.trim_end_matches('\0').parse().ok()
}

async fn upload(client: &Client, header: Header, body: &[u8], peer: &Peer, group: GroupName) -> Done {
    if header.command == Command::UPLOAD_SLAVE {
        let (head, rest) = split(body, SlaveHead::LEN)?;
        let SlaveHead { name_length, prefix, extension, .. } = SlaveHead::decode(head).ok()?;
        let (name, content) = split(rest, name_length as usize)?;
        let master = FileId { group, name: parse_stored(name).ok()? };
        return Some(client.upload_slave(&master, &prefix, &extension, content).await.is_ok());
    }
    let (head, content) = split(body, UploadHead::LEN)?;
    let UploadHead { path_index, size, extension } = UploadHead::decode(head).ok()?;
    if size != content.len() as u64 || head[9..].iter().filter(|byte| **byte != 0).count() != extension.as_str().len() {
        return None;
    }
    let path_index = Some(path_index).filter(|index| *index != 0xFF);
    let client = client.at(Place::Storage { address: peer.address, path_index });
    Some(match header.command {
        Command::UPLOAD => client.upload(content, &extension).await.is_ok(),
        _ => client.upload_appender(content, &extension).await.is_ok(),
    })
}

async fn change(client: &Client, command: Command, body: &[u8]) -> Done {
    let file = |name: &[u8]| Some(FileId { group: "group1".parse().unwrap(), name: parse_stored(name).ok()? });
    Some(match command {
        Command::APPEND => {
            let (head, rest) = split(body, AppendHead::LEN)?;
            let (name, content) = split(rest, AppendHead::decode(head).ok()?.name_length as usize)?;
            client.append_at(&file(name)?, 0, content).await.is_ok()
        }
        Command::MODIFY => {
            let (head, rest) = split(body, ModifyHead::LEN)?;
            let ModifyHead { name_length, offset, .. } = ModifyHead::decode(head).ok()?;
            let (name, content) = split(rest, name_length as usize)?;
            client.modify(&file(name)?, offset, content).await.is_ok()
        }
        Command::TRUNCATE => {
            let TruncateRequest { size, name } = TruncateRequest::decode(body).ok()?;
            client.truncate(&file(name.as_str().as_bytes())?, size).await.is_ok()
        }
        _ => client.regenerate(&file(body)?).await.is_ok(),
    })
}

async fn on_file(client: &Client, header: Header, body: &[u8]) -> Done {
    match header.command {
        Command::SET_METADATA => {
            let MetadataRequest { flag, file, metadata } = MetadataRequest::decode(body).ok()?;
            return Some(client.set_metadata(&file, &metadata, flag).await.is_ok());
        }
        Command::DOWNLOAD if header.status == Status::OK => {
            let DownloadRequest { offset, length, group, name } = DownloadRequest::decode(body).ok()?;
            return Some(client.download(&FileId { group, name }, offset, length, 1 << 20).await.is_ok());
        }
        _ => {}
    }
    let file = parse_file_request(body).ok()?;
    Some(match (header.command, header.status) {
        (Command::DELETE, _) => client.delete(&file).await.is_ok(),
        (Command::GET_METADATA, _) => client.metadata(&file).await.is_ok(),
        (Command::FILE_INFO, Status::OK) => client.file_info(&file).await.is_ok(),
        (Command::FILE_INFO, Status(3)) => client.file_size(&file).await.is_ok(),
        _ => return None,
    })
}

#[tokio::test]
async fn the_goodbye_is_the_recorded_one() {
    for item in all().into_iter().filter(|item| item.name == "quit") {
        let peer = Peer::scripted(vec![ok(&[])]).await;
        let client = Client::new(ClientOptions::new([peer.address.to_string()]));
        client.active_test(peer.address).await.unwrap();
        client.quit().await;
        while peer.requests().len() < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(peer.requests()[1], item.request);
    }
}
