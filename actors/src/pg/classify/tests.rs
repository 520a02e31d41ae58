//! Every row, and what must never be taken for something else.

use super::*;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;

#[test]
fn every_row_has_a_name_examples_and_a_way_out() {
    let mut ids = BTreeSet::new();
    for row in STATES.iter().copied().chain(all_words()) {
        assert!(ids.insert(row.id), "two rows are called {}", row.id);
        assert!(!row.examples.is_empty() && !row.meaning.is_empty() && !row.way_out.is_empty(), "{}", row.id);
        assert!(!row.way_out.ends_with('.') && !row.meaning.ends_with('.'), "{}", row.id);
    }
}

#[test]
fn every_example_is_of_its_row_and_of_no_other() {
    for row in STATES {
        for example in row.examples {
            assert_eq!(state(example).id, row.id, "{example}");
        }
    }
    for row in all_words() {
        let Sign::Words { from, .. } = row.sign else { panic!("{} is no message", row.id) };
        for example in row.examples {
            let fits: Vec<_> = all_words().filter(|other| says(other, from, example)).map(|other| other.id).collect();
            assert_eq!(fits, [row.id], "{example}");
        }
    }
}

/// Nothing that a server answers to a question shows that a copy of it would help, or that two histories differ.
#[test]
fn no_answer_of_a_server_leads_to_a_clone_or_to_a_divergence() {
    let classes = [
        "00", "01", "08", "0A", "22", "23", "25", "26", "28", "2D", "3D", "3F", "40", "42", "53", "54", "55", "57", "58", "72", "F0", "HV",
        "P0", "XX",
    ];
    let tails = ["000", "001", "501", "P01", "P02", "P03", "P04", "300", "006", "014"];
    for code in classes.iter().flat_map(|class| tails.iter().map(move |tail| format!("{class}{tail}"))) {
        assert!(!matches!(state(&code).consequence, Consequence::Clone | Consequence::Compare), "{code}");
    }
    for (code, consequence) in [
        ("28P01", Consequence::Operator),
        ("28000", Consequence::Operator),
        ("3D000", Consequence::Operator),
        ("42501", Consequence::Operator),
        ("55000", Consequence::Operator),
        ("0A000", Consequence::Operator),
        ("53300", Consequence::Wait),
        ("57P03", Consequence::Wait),
        ("42883", Consequence::Retry),
    ] {
        assert_eq!(state(code).consequence, consequence, "{code}");
    }
}

/// The server's log as it is after a failed start.
fn log(last: &str) -> String {
    format!(
        "2026-11-30 20:00:00.000 UTC [7] LOG:  starting PostgreSQL 15.18\n2026-11-30 20:00:00.100 UTC [9] {last}\n\
         2026-11-30 20:00:00.101 UTC [7] LOG:  startup process (PID 9) exited with exit code 1\n\
         2026-11-30 20:00:00.102 UTC [7] LOG:  database system is shut down\n"
    )
}

#[test]
fn the_last_words_of_a_server_tell_what_a_copy_mends_from_what_it_does_not() {
    let consequence = |last| last_words(&log(last), true).map(|words| words.consequence);
    assert_eq!(consequence("PANIC:  could not locate a valid checkpoint record"), Some(Consequence::Clone));
    assert_eq!(
        consequence("FATAL:  could not restore file \"00000002.history\" from archive: command not found"),
        Some(Consequence::Operator)
    );
    assert_eq!(consequence("FATAL:  something that nobody has heard of"), Some(Consequence::Retry), "the unknown keeps everything");
    assert_eq!(consequence("LOG:  could not locate a valid checkpoint record"), None, "nothing ended for it");
    let faulty = "postgres: superuser_reserved_connections (3) plus max_wal_senders (10) must be less than max_connections (5)\n";
    assert_eq!(last_words(faulty, true).map(|words| words.consequence), Some(Consequence::Operator));
    // A session that ends last is no reason.
    let text = log("FATAL:  could not create any TCP/IP sockets") + "x FATAL:  the database system is shutting down\n";
    assert!(last_words(&text, true).is_some_and(|words| words.text.contains("TCP/IP sockets")));
}

/// security.md F4: every phrase, wherever a client can put it.
#[test]
fn nothing_that_a_client_can_have_logged_is_taken_for_the_servers_word() {
    for row in all_words().filter(|row| matches!(row.consequence, Consequence::Clone | Consequence::Operator)) {
        for phrase in row.examples {
            let by_name = format!("2026-11-30 20:00:00.000 UTC [7] FATAL:  password authentication failed for user \"{phrase}\"\n");
            let with_severity = format!("[7] FATAL:  password authentication failed for user \"FATAL:  {phrase}\"\n");
            let of_lines = format!("[7] FATAL:  role \"x\n\tPANIC:  {phrase}\" does not exist\n");
            let raised = format!("[7] LOG:  {phrase}\n[7] STATEMENT:  DO $$ BEGIN RAISE LOG 'PANIC:  {phrase}'; END $$\n");
            let failed = format!("[7] ERROR:  {phrase}\n[7] CONTEXT:  PANIC:  {phrase}\n");
            for planted in [by_name, with_severity, of_lines, raised, failed] {
                assert_eq!(last_words(&planted, true), None, "{planted}");
            }
        }
    }
    // Where the prefix of the log shows what a client chose, nothing is thrown away for it.
    let forged = "PANIC:  could not locate a valid checkpoint record\n@postgres FATAL:  the database system is starting up\n";
    assert_eq!(last_words(forged, false).map(|words| words.consequence), Some(Consequence::Retry));
    for (prefix, trusted) in [
        ("%m [%p] ", true),
        ("%t %5p %b ", true),
        ("", true),
        ("%m [%p] %q%u@%d ", false),
        ("%a", false),
        ("%-10u", false),
        ("%h", false),
        ("%", false),
        ("PANIC:  %m", false),
    ] {
        assert_eq!(is_trusted(prefix), trusted, "{prefix}");
    }
}

#[test]
fn a_hint_is_the_receivers_or_the_startup_process_own() {
    for row in all_words().filter(|row| row.consequence == Consequence::Compare) {
        for phrase in row.examples {
            assert!(hint(&format!("2026-11-30 20:00:00.000 UTC [7] FATAL:  {phrase}\n")), "{phrase}");
            assert!(!hint(&format!("[7] FATAL:  password authentication failed for user \"{phrase}\"\n\t{phrase}\n")), "{phrase}");
        }
    }
    assert!(!hint("[7] LOG:  started streaming WAL from primary at 0/3000000 on timeline 1\n"));
}

#[test]
fn what_a_program_says_is_known_by_its_last_known_words() {
    let said = "pg_rewind: connected to server\npg_rewind: error: could not find previous WAL record at 0/3000028\n";
    assert_eq!(program(From::Rewind, said).map(|row| row.consequence), Some(Consequence::Clone));
    let refused = "pg_rewind: error: connection to server at \"x\", port 1 failed: FATAL:  password authentication failed for user \"a\"";
    assert_eq!(program(From::Rewind, refused).map(|row| row.consequence), Some(Consequence::Operator));
    assert!(program(From::Rewind, "pg_rewind: error: never heard of").is_none());
}

#[test]
fn a_fault_of_a_file_is_told_with_its_line() {
    let log = "2026-01-01 00:00:00 GMT [7] LOG:  database system is shut down\n\
               2026-01-01 00:00:00 GMT [8] FATAL:  terminating connection due to administrator command\n\
               2026-01-01 00:00:01 GMT [9] LOG:  invalid value for parameter \"lc_monetary\": \"de_DE.UTF-8\"\n\
               2026-01-01 00:00:01 GMT [9] LOG:  unrecognized configuration parameter \"x\" in file \"/data/postgresql.conf\" line 3\n\
               2026-01-01 00:00:01 GMT [9] FATAL:  configuration file \"/data/postgresql.conf\" contains errors\n";
    let words = last_words(log, true).expect("it ended by them");
    assert!(words.text.starts_with("invalid value for parameter \"lc_monetary\""), "{}", words.text);
    assert!(words.text.contains("line 3; FATAL:  configuration file") && words.consequence == Consequence::Operator, "{}", words.text);
}

#[test]
fn a_program_is_understood_by_the_last_words_that_are_known() {
    let output = "pg_basebackup: write-ahead log end point: 0/C000100\npg_basebackup: error: checksum error occurred\n\
                  pg_basebackup: removing contents of data directory \"/data\"";
    assert_eq!(program(From::Copy, output).map(|row| (row.id, row.consequence)), Some(("copy-of-damage", Consequence::Operator)));
    assert!(program(From::Rewind, output).is_none(), "another program's words");
}

#[test]
fn a_crash_is_told_in_the_postmasters_own_words_and_briefly() {
    let fifteen = "2026-12-01 04:36:34.200 UTC [29496] LOG:  server process (PID 29517) was terminated by signal 9: Killed\n";
    let eighteen =
        "[30049] LOG:  client backend (PID 30060) exited with exit code 2\n[30049] LOG:  terminating any other active server processes\n";
    assert_eq!(crash(fifteen).as_deref(), Some("server process (PID 29517) was terminated by signal 9: Killed"));
    assert_eq!(crash(&format!("{fifteen}{eighteen}")).as_deref(), Some("client backend (PID 30060) exited with exit code 2"));
    assert_eq!(crash("[7] LOG:  database system was interrupted\n"), None);
    assert!(crash(&format!("[7] LOG:  {} (PID 7) was terminated by signal 9", "x".repeat(1000))).is_some_and(|text| text.len() == 200));
}
