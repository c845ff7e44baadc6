use std::path::Path;

use super::{Progress, Servers};
use crate::files::OpenFile;
use crate::url::SourceUrl;

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
