//! Where a log ends, however long it is and whatever was torn.

use crate::servers::{LONG, Node, as_postgres};
use actors::model::{Lsn, Timeline};
use actors::pg::actor::operations::{controldata, end_of_wal, initdb};
use actors::pg::wal::{Geometry, Record};
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::process::Command;
use tokio::time::Instant;

/// What lies in a segment, or right before its end.
const PIECE: usize = 4096;

/// The end of the last record, read from the first one that a recovery would replay on.
async fn read_through(node: &Node) -> (Lsn, Geometry) {
    let control = controldata(&node.site).await.unwrap();
    let (folder, geometry) = (node.site.data_dir().join("pg_wal"), control.geometry());
    let mut names: Vec<String> = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| geometry.parse_file_name(name).is_some());
    let mut waldump = Command::new(node.site.installation.program("pg_waldump"));
    waldump.arg("--path").arg(&folder).arg(format!("--start={}", control.redo));
    let said = waldump.args([geometry.file_name(Timeline(1), control.redo), names.into_iter().max().unwrap()]).output().unwrap();
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    (text.lines().filter_map(Record::parse).next_back().unwrap().end(geometry), geometry)
}

/// The end is found in the last segments, and is the one that a reading of all of it finds: of a log of many segments, of one that ends with a record
/// which is longer than some of them, and of one in which a piece of that record was lost with the power.
#[test]
fn the_end_of_a_log_is_found_in_its_last_segments() {
    as_postgres("log_end::the_end_of_a_log_is_found_in_its_last_segments", async {
        let mut node = Node::new(1);
        node.site.settings.initdb = vec!["--wal-segsize=1".into()];
        initdb(&node.site).await.unwrap();
        let server = node.start().await;
        server.psql("CHECKPOINT").await;
        server.psql("SELECT count(pg_logical_emit_message(true, 'x', repeat('x', 1000))) FROM generate_series(1, 30000)").await;
        server.kill().await;
        let (all, geometry) = read_through(&node).await;
        let begun = Instant::now();
        let end = end_of_wal(&node.site, LONG).await.unwrap();
        println!("    found in {:?}", begun.elapsed());
        assert_eq!((end.lsn, end.seen), (all, true));
        assert!(
            end.lsn.ahead_of(controldata(&node.site).await.unwrap().redo) > 20 * geometry.segment,
            "the log is too short to show anything"
        );

        let server = node.start().await;
        server.psql("CHECKPOINT").await;
        server.psql("SELECT count(pg_logical_emit_message(true, 'x', repeat('x', 1000))) FROM generate_series(1, 3000)").await;
        let before = server.session().await.observe(LONG).await.unwrap().position.lsn;
        // Three segments, and half of one: whatever else is written fits into the rest of that.
        let length = geometry.segment - before.0 % geometry.segment + 7 * geometry.segment / 2;
        server.psql(&format!("SELECT pg_logical_emit_message(true, 'x', repeat('x', {length}))")).await;
        server.kill().await;
        let (all, _) = read_through(&node).await;
        assert!(all.ahead_of(before) > 3 * geometry.segment);
        assert_eq!(end_of_wal(&node.site, LONG).await.unwrap().lsn, all);

        // The beginning of the last segment belongs to that record, and what follows on it was written.
        let last = Lsn((all.0 - 1) / geometry.segment * geometry.segment);
        let file = OpenOptions::new().write(true).open(node.site.data_dir().join("pg_wal").join(geometry.file_name(Timeline(1), last)));
        file.unwrap().write_all_at(&[0; PIECE], PIECE as u64).unwrap();
        let (torn, _) = read_through(&node).await;
        assert!(torn < last, "the record that was torn is none");
        assert_eq!(end_of_wal(&node.site, LONG).await.unwrap().lsn, torn);
    });
}
