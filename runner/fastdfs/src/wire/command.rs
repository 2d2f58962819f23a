//! Command numbers: the ninth byte of a header.

/// A command byte. Numbers that we do not know are kept as they are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Command(
    /// The byte on the wire.
    pub u8,
);

impl Command {
    /// Storage: upload a normal file.
    pub const UPLOAD: Self = Self(11);
    /// Storage: delete a file and its metadata.
    pub const DELETE: Self = Self(12);
    /// Storage: set metadata.
    pub const SET_METADATA: Self = Self(13);
    /// Storage: download a range.
    pub const DOWNLOAD: Self = Self(14);
    /// Storage: read metadata.
    pub const GET_METADATA: Self = Self(15);
    /// Storage: upload a slave of an existing file.
    pub const UPLOAD_SLAVE: Self = Self(21);
    /// Storage: size, time and CRC of a file.
    pub const FILE_INFO: Self = Self(22);
    /// Storage: upload the beginning of an appender file.
    pub const UPLOAD_APPENDER: Self = Self(23);
    /// Storage: append to an appender file.
    pub const APPEND: Self = Self(24);
    /// Storage: overwrite a range of an appender file, or extend it at its end.
    pub const MODIFY: Self = Self(34);
    /// Storage: set the size of an appender file.
    pub const TRUNCATE: Self = Self(36);
    /// Storage: turn an appender file into a normal one with a new name (servers since 6.02).
    pub const REGENERATE: Self = Self(38);
    /// Both: end the connection; has no answer.
    pub const QUIT: Self = Self(82);
    /// Tracker: heartbeat of a joined storage; clients are refused.
    pub const STORAGE_BEAT: Self = Self(83);
    /// Tracker: the record of one group.
    pub const LIST_ONE_GROUP: Self = Self(90);
    /// Tracker: the records of all groups.
    pub const LIST_GROUPS: Self = Self(91);
    /// Tracker: the records of a group's storages.
    pub const LIST_STORAGES: Self = Self(92);
    /// Tracker: forget a storage that is offline.
    pub const DELETE_STORAGE: Self = Self(93);
    /// Tracker: make a storage the one that gives out places in trunk files.
    pub const SET_TRUNK_SERVER: Self = Self(94);
    /// Tracker: which tracker leads the others.
    pub const LEADER: Self = Self(95);
    /// Tracker: states of the trackers (servers since 6.15.5).
    pub const TRACKER_STATISTICS: Self = Self(96);
    /// Tracker: states of the storages (servers since 6.15.5).
    pub const STORAGE_STATISTICS: Self = Self(97);
    /// Tracker: sizes of the store paths (servers since 6.16).
    pub const VOLUME_STATISTICS: Self = Self(98);
    /// Both: every answer carries this.
    pub const ANSWER: Self = Self(100);
    /// Tracker: one storage to upload to, in any group.
    pub const STORE_ANY_ONE: Self = Self(101);
    /// Tracker: one storage to read a file from.
    pub const FETCH_ONE: Self = Self(102);
    /// Tracker: the storage to change a file on.
    pub const UPDATE: Self = Self(103);
    /// Tracker: one storage to upload to, in a named group.
    pub const STORE_GROUP_ONE: Self = Self(104);
    /// Tracker: all storages to read a file from.
    pub const FETCH_ALL: Self = Self(105);
    /// Tracker: all storages to upload to, in any group.
    pub const STORE_ANY_ALL: Self = Self(106);
    /// Tracker: all storages to upload to, in a named group.
    pub const STORE_GROUP_ALL: Self = Self(107);
    /// Tracker: forget a group whose storages are all gone.
    pub const DELETE_GROUP: Self = Self(108);
    /// Both: keep-alive probe.
    pub const ACTIVE_TEST: Self = Self(111);
}
