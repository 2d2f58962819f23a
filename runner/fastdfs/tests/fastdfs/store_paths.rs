//! Several store paths, and lists and queries that name them.

use packhorse_fastdfs::{ServerError, ServerHandle, ServerOptions};

use crate::cluster::{bytes, client_of, ext};

#[tokio::test]
async fn uploads_take_turns_between_store_paths_and_names_say_which() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = ServerOptions::new(folder.path().join("first")).on_free_ports();
    options.more_store_paths = vec![folder.path().join("second"), folder.path().join("third")];
    let server = ServerHandle::start(options.clone()).await.unwrap();
    let client = client_of(&server);
    let mut files = Vec::new();
    for size in [0, 10, 300_000, 1, 2, 3] {
        let content = bytes(size);
        files.push((client.upload_appender(&content, &ext("log")).await.unwrap(), content));
    }
    let mut paths: Vec<_> = files.iter().map(|(file, _)| file.name.path_index()).collect();
    paths.sort_unstable();
    assert_eq!(paths, [0, 0, 1, 1, 2, 2]);
    assert_eq!(client.groups().await.unwrap()[0].paths, 3);
    for (file, content) in &mut files {
        client.append(file, b"more").await.unwrap();
        content.extend_from_slice(b"more");
        let store_path = ["first", "second", "third"][usize::from(file.name.path_index())];
        assert!(folder.path().join(store_path).join("data").join(&file.name.as_str()[4..]).exists(), "{file}");
    }
    server.shutdown().await;
    let server = ServerHandle::start(options).await.unwrap();
    let client = client_of(&server);
    for (file, content) in &files {
        assert!(client.download(file, 0, 0, 1 << 30).await.unwrap() == content[..], "{file}");
        client.regenerate(file).await.unwrap();
    }
}

#[tokio::test]
async fn a_store_path_is_used_once_and_there_are_at_most_255() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = ServerOptions::new(folder.path()).on_free_ports();
    options.more_store_paths = vec![folder.path().to_owned()];
    let twice = ServerHandle::start(options.clone()).await;
    assert!(matches!(twice, Err(ServerError::InUse { .. })), "{twice:?}");
    options.more_store_paths = (0..255).map(|index| folder.path().join(index.to_string())).collect();
    let many = ServerHandle::start(options).await;
    assert!(matches!(many, Err(ServerError::StorePaths { count: 256 })), "{many:?}");
}
