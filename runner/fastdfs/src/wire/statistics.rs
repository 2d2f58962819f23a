//! What the 42 numbers in a storage record count.

/// Numbers at the end of a storage record: pairs of operations, pairs of bytes, pairs of file calls, times.
pub const RECORD_COUNTERS: usize = 42;

/// How often something was tried, or how many bytes were meant to move, and how much of that went well.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tried {
    /// All.
    pub total: u64,
    /// What went well.
    pub success: u64,
}

macro_rules! statistics {
    (pairs { $($(#[$doc:meta])* $pair:ident,)* } times { $($(#[$time_doc:meta])* $time:ident,)* }) => {
        /// What a storage did since it started, synced files not counted. In the order of the wire.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        pub struct Statistics {
            $($(#[$doc])* pub $pair: Tried,)*
            $($(#[$time_doc])* pub $time: u64,)*
        }

        impl Statistics {
            /// The numbers of a record.
            #[must_use]
            pub fn of(counters: &[u64; RECORD_COUNTERS]) -> Self {
                let mut next = counters.iter().copied();
                let mut number = || next.next().expect("names and numbers are as many");
                Self {
                    $($pair: Tried { total: number(), success: number() },)*
                    $($time: number(),)*
                }
            }

            /// The numbers as a record holds them.
            #[must_use]
            pub fn counters(&self) -> [u64; RECORD_COUNTERS] {
                let pairs = [$(self.$pair),*].into_iter().flat_map(|pair| [pair.total, pair.success]);
                let mut counters = [0; RECORD_COUNTERS];
                for (counter, number) in counters.iter_mut().zip(pairs.chain([$(self.$time),*])) {
                    *counter = number;
                }
                counters
            }
        }
    };
}

statistics! {
    pairs {
        /// Uploads.
        upload,
        /// Appends.
        append,
        /// Modifies.
        modify,
        /// Truncates.
        truncate,
        /// Setting metadata.
        set_metadata,
        /// Deletes.
        delete,
        /// Downloads.
        download,
        /// Reading metadata.
        get_metadata,
        /// Making links.
        create_link,
        /// Removing links.
        delete_link,
        /// Bytes of uploads.
        upload_bytes,
        /// Bytes of appends.
        append_bytes,
        /// Bytes of modifies.
        modify_bytes,
        /// Bytes of downloads.
        download_bytes,
        /// Bytes synced from other storages.
        sync_in_bytes,
        /// Bytes synced to other storages.
        sync_out_bytes,
        /// Opened files.
        file_open,
        /// Reads of files.
        file_read,
        /// Writes of files.
        file_write,
    }
    times {
        /// Last change by a client, Unix seconds.
        last_source_update_unix,
        /// Last change by syncing, Unix seconds.
        last_sync_update_unix,
        /// Until when the other storages' changes have arrived, Unix seconds of their clock.
        last_synced_unix,
        /// Last heartbeat, Unix seconds.
        last_heartbeat_unix,
    }
}
