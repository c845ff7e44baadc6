use std::path::Path;

use towpath_testkit::{Server, Version};

use super::same::{Memory, check_place};
use super::{Progress, Servers};
use crate::connection::Connection;
use crate::error::{Lost, SourceError};
use crate::files::OpenFile;
use crate::url::SourceUrl;
use crate::{LastEvent, ReadFile};

/// The file of a fixture begins, under a name.
fn begins(progress: &mut Progress, name: &str) {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/golden");
    let mut file = OpenFile::open(&fixtures.join("types/mysql-bin.000001"), name, 4).unwrap();
    assert!(file.fill().unwrap());
    let event = file.next_event(1 << 20).unwrap().unwrap();
    let servers = Servers::new(SourceUrl::parse("mysql://canal@db1").unwrap(), None);
    progress.file_begins(&event, &servers).unwrap();
}

/// What stands at the same offset of another file is another event.
#[test]
fn the_number_of_a_transaction_counts_in_its_file_only() {
    let mut progress = Progress::default();
    begins(&mut progress, "mysql-bin.000001");
    progress.xid = Some((1234, 7));
    // A dump that goes on in the file sends its begin again.
    begins(&mut progress, "mysql-bin.000001");
    assert_eq!(progress.xid, Some((1234, 7)));
    begins(&mut progress, "mysql-bin.000002");
    assert_eq!(progress.xid, None);
}

/// A purge that comes while the binlog is looked at is no reset.
#[tokio::test(crate = "towpath_testkit")]
async fn a_file_that_is_purged_is_told_from_one_that_is_gone() {
    let version = Version::Mysql80;
    let server = Server::start(version, &[]);
    server.run(version.rotate_sql());
    server.purge_to(&server.binlog_end().0);
    let url = SourceUrl::parse(&server.url()).unwrap();
    let mut connection = Connection::open(&url).await.unwrap();
    for with_event in [true, false] {
        for (file, is_purged) in [("mysql-bin.000001", true), ("mysql-bin.000999", false)] {
            let last = with_event.then(|| LastEvent {
                file: file.to_owned(),
                offset: 200,
                time_s: 1_700_000_000,
                server_id: 1,
                xid: None,
            });
            let (read_from, file) = ("this one".to_owned(), file.to_owned());
            let read = ReadFile { server: read_from, file, begun_s: 1_700_000_000, offset: 300 };
            let memory = Memory { file: Some(read), last };
            let fault = check_place(&url, &mut connection, &memory, 7).await.unwrap_err();
            let is_told = matches!(fault, SourceError::Purged { lost: Lost::Purged, .. });
            assert_eq!(is_told, is_purged, "{with_event}: {fault}");
        }
    }
}
