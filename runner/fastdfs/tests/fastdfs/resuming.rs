//! Uploads in steps that fail, stay, and go on.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use packhorse_fastdfs::{
    ClientError, FileId,
    client::ResumableUpload,
    wire::{FileKind, Status},
};

use crate::{
    cluster::{Cluster, bytes, ext},
    peers::{Cut, client_of_storage, cutting},
};

const STEP: usize = 4 << 20;

/// An upload that writes down its id and its progress.
#[derive(Clone, Default)]
struct Notes {
    id: Arc<Mutex<Option<FileId>>>,
    told: Arc<Mutex<Vec<(u64, u64)>>>,
}

impl Notes {
    fn upload(&self, resume: Option<FileId>, keep_appender: bool) -> ResumableUpload {
        let (id, told) = (Arc::clone(&self.id), Arc::clone(&self.told));
        ResumableUpload {
            resume,
            keep_appender,
            begun: Some(Arc::new(move |file: &FileId| *id.lock().unwrap() = Some(file.clone()))),
            progress: Some(Arc::new(move |done, total| told.lock().unwrap().push((done, total)))),
        }
    }

    fn id(&self) -> FileId {
        self.id.lock().unwrap().clone().unwrap()
    }

    fn told(&self) -> Vec<(u64, u64)> {
        self.told.lock().unwrap().clone()
    }
}

/// An upload of `path` that failed after its first step and half of its second.
async fn failed(at: &Cluster, path: &Path) -> FileId {
    let cuts = [6 << 20, 1 << 20, 1 << 20].map(Cut::Request).to_vec();
    let client = client_of_storage(cutting(at.server.storage_addr, cuts).await).await;
    let notes = Notes::default();
    let error = client.upload_resumable(path, &ext("bin"), notes.upload(None, false)).await.unwrap_err();
    assert!(matches!(error, ClientError::Broken { .. }), "{error}");
    notes.id()
}

#[tokio::test]
async fn an_upload_tells_its_id_and_its_progress() {
    let at = Cluster::start().await;
    for size in [0, 10, STEP, 2 * STEP + 9] {
        let content = bytes(size);
        let path = at.folder.path().join("source");
        std::fs::write(&path, &content).unwrap();
        let notes = Notes::default();
        let file = at.client.upload_resumable(&path, &ext("bin"), notes.upload(None, false)).await.unwrap();
        assert_eq!(file.name.info().unwrap().kind, FileKind::Normal { size: size as u64 });
        assert!(at.client.download(&file, 0, 0, 1 << 30).await.unwrap() == content);
        let told = notes.told();
        assert!(told.is_sorted() && told.iter().all(|(_, total)| *total == size as u64), "{told:?}");
        assert_eq!(told.last().unwrap().0, size as u64);
        assert_eq!(at.client.file_size(&notes.id()).await.unwrap_err().status(), Some(Status::NOT_FOUND));
    }
}

#[tokio::test]
async fn a_failed_upload_stays_and_goes_on() {
    let at = Cluster::start().await;
    let content = bytes(3 * STEP + 77);
    let path = at.folder.path().join("source");
    std::fs::write(&path, &content).unwrap();
    let appender = failed(&at, &path).await;
    let there = at.client.file_size(&appender).await.unwrap();
    assert!(there >= STEP as u64 && there < 2 * STEP as u64, "{there}");
    let notes = Notes::default();
    let file =
        at.client.upload_resumable(&path, &ext("bin"), notes.upload(Some(appender.clone()), false)).await.unwrap();
    assert!(at.client.download(&file, 0, 0, 1 << 30).await.unwrap() == content);
    assert_eq!((notes.id(), notes.told()[0].0), (appender, there));
    assert_eq!(at.files().len(), 1);
}

#[tokio::test]
async fn a_kept_appender_grows_with_its_file() {
    let at = Cluster::start().await;
    let mut content = bytes(STEP + 1);
    let path = at.folder.path().join("source");
    std::fs::write(&path, &content).unwrap();
    let notes = Notes::default();
    let appender = at.client.upload_resumable(&path, &ext("bin"), notes.upload(None, true)).await.unwrap();
    assert_eq!(appender, notes.id());
    for more in [0, 3, STEP] {
        content.extend_from_slice(&bytes(more));
        std::fs::write(&path, &content).unwrap();
        let again = at.client.upload_resumable(&path, &ext("bin"), notes.upload(Some(appender.clone()), true)).await;
        assert_eq!(again.unwrap(), appender);
        assert!(at.client.download(&appender, 0, 0, 1 << 30).await.unwrap() == content);
    }
    let file = at.client.upload_resumable(&path, &ext("bin"), notes.upload(Some(appender), false)).await.unwrap();
    assert_eq!(file.name.info().unwrap().kind, FileKind::Normal { size: content.len() as u64 });
}

#[tokio::test]
async fn what_does_not_begin_the_same_is_not_resumed() {
    let at = Cluster::start().await;
    let content = bytes(3 * STEP);
    let path = at.folder.path().join("source");
    std::fs::write(&path, &content).unwrap();
    let appender = failed(&at, &path).await;
    let there = at.client.file_info(&appender).await.unwrap();
    let mut changed = content.clone();
    changed[STEP / 2] ^= 1;
    let normal = at.client.upload(&content[..100], &ext("bin")).await.unwrap();
    for (local, resume) in
        [(&changed[..], &appender), (&content[..100], &appender), (b"", &appender), (&content, &normal)]
    {
        std::fs::write(&path, local).unwrap();
        let upload = ResumableUpload { resume: Some(resume.clone()), ..ResumableUpload::default() };
        let error = at.client.upload_resumable(&path, &ext("bin"), upload).await.unwrap_err();
        assert!(matches!(&error, ClientError::Differs { file, .. } if *file == resume.to_string()), "{error}");
        let now = at.client.file_info(&appender).await.unwrap();
        assert_eq!((now.size, now.crc32), (there.size, there.crc32));
    }
    at.client.delete(&appender).await.unwrap();
    let upload = ResumableUpload { resume: Some(appender), ..ResumableUpload::default() };
    let error = at.client.upload_resumable(&path, &ext("bin"), upload).await.unwrap_err();
    assert_eq!(error.status(), Some(Status::NOT_FOUND));
}
