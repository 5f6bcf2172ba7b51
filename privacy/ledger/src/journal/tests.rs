use super::*;
use crate::data_tag::DataTag;
use crate::entry::Reservation;
use crate::entry::{BudgetLimit, ENTRY_VERSION, Event, Handover, Outcome};
use crate::rotation::KeyRotation;
use guildhall_accountant::PicoRho;

use crate::{Protection, Travel};
use guildhall_shared::digest::Digest;
use guildhall_shared::id::{Name, RoundId};
use guildhall_shared::identity::{PublicKey, Signature};
use guildhall_shared::job::Unit;
use guildhall_shared::tree_head::TreeHead;

fn entry(sequence: u64) -> Entry {
    Entry {
        version: ENTRY_VERSION,
        sequence,
        previous: Digest([6; 32]),
        event: Event::Refund { sid: Digest([sequence as u8; 32]) },
    }
}

fn frames(count: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    (0..count).for_each(|i| write_frame(&entry(i), &mut bytes).expect("encodes"));
    bytes
}

#[test]
fn entries_have_one_pinned_encoding() {
    let encoded = |event| {
        let bytes =
            wire::encode(&Entry { version: ENTRY_VERSION, sequence: 258, previous: Digest([6; 32]), event })
                .expect("encodes");
        bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let head = "0400" /* version */.to_string() + "0201000000000000" /* sequence */ + &"06".repeat(32);
    let limit = BudgetLimit { epsilon: 4.0, delta: 0.5 };
    let sid = "07".repeat(32);
    assert_eq!(
        encoded(Event::Policy { limit, time_unix_s: 1 }),
        format!("{head}00000000000000000000{}", "1040000000000000e03f0100000000000000")
    );
    assert_eq!(
        encoded(Event::Commit { sid: Digest([7; 32]), update: Some(Digest([9; 32])), data: None }),
        format!("{head}02000000{sid}01{}00", "09".repeat(32))
    );
    assert_eq!(
        encoded(Event::Commit { sid: Digest([7; 32]), update: None, data: None }),
        format!("{head}02000000{sid}0000")
    );
    let data = Some(DataTag { salt: [3; 32], tag: Digest([2; 32]) });
    assert_eq!(
        encoded(Event::Commit { sid: Digest([7; 32]), update: None, data }),
        format!("{head}02000000{sid}0001{}{}", "03".repeat(32), "02".repeat(32))
    );
    let head_of = TreeHead { size: 1, root: Digest([3; 32]) };
    let handover = Handover { recipient: "r".into(), head: head_of, file: Digest([2; 32]) };
    assert_eq!(
        encoded(Event::Export { handover, time_unix_s: 1 }),
        format!(
            "{head}0a000000010000000000000072{size}{root}{file}{size}",
            size = "0100000000000000",
            root = "03".repeat(32),
            file = "02".repeat(32)
        )
    );
    let signature = |byte| Signature([[byte; 32]; 2]);
    let rotation = KeyRotation {
        old: PublicKey([1; 32]),
        new: PublicKey([2; 32]),
        before: head_of,
        by_old: signature(4),
        by_new: signature(5),
    };
    assert_eq!(
        encoded(Event::KeyRotation { rotation, time_unix_s: 1 }),
        format!(
            "{head}0b000000{old}{new}{size}{root}{by_old}{by_new}{size}",
            old = "01".repeat(32),
            new = "02".repeat(32),
            size = "0100000000000000",
            root = "03".repeat(32),
            by_old = "04".repeat(64),
            by_new = "05".repeat(64)
        )
    );
    assert_eq!(encoded(Event::Refund { sid: Digest([7; 32]) }), format!("{head}03000000{sid}"));
    let reservation = Reservation {
        job: Name::new("j").expect("legal"),
        job_digest: Digest([8; 32]),
        sid: Digest([7; 32]),
        round: RoundId { round: 3, attempt: 1 },
        unit: Unit::Shopper,
        protection: Protection::Gaussian {
            bound: 16,
            noise_standard_deviation_local: 1 << 10,
            honest_shares: 6,
            delta: 0.5,
        },
        travel: Travel::Masked { colluders: 2 },
        survivors_min: 8,
        parameters: Digest([4; 32]),
        model: Digest([5; 32]),
        charge: PicoRho::from_pico(5),
        purpose: "p".into(),
        label: "l".into(),
        program: Some(Digest([1; 32])),
    };
    assert_eq!(
        encoded(Event::Reserve { reservation, time_unix_s: 1 }),
        format!(
            "{head}01000000{name}{job}{sid}{round}{unit}{gaussian}{travel}{least}{parameters}{model}{charge}{purpose}{label}{program}{time}",
            name = "01000000000000006a",
            job = "08".repeat(32),
            round = "0300000001000000",
            unit = "00000000",
            gaussian = "00000000100000000000000000040000000000000600000000000000000000000000e03f",
            travel = "0100000002000000",
            least = "08000000",
            parameters = "04".repeat(32),
            model = "05".repeat(32),
            charge = "05000000000000000000000000000000",
            purpose = "010000000000000070",
            label = "01000000000000006c",
            program = "01".repeat(33),
            time = "0100000000000000",
        )
    );
    let settle = Event::Settle { sid: Digest([7; 32]), outcome: Outcome::Aborted };
    assert_eq!(encoded(settle), format!("{head}04000000{sid}01000000"));
}

#[test]
fn whole_frames_come_back_with_their_offsets() {
    let bytes = frames(3);
    let found = read_frames(&bytes).unwrap_or_else(|damage| panic!("{}", damage.reason));
    let step = bytes.len() as u64 / 3;
    assert_eq!(found.entries, [(0, entry(0)), (step, entry(1)), (2 * step, entry(2))]);
    assert_eq!(found.torn_bytes, 0);
}

#[test]
fn a_damaged_length_in_the_middle_is_not_taken_for_a_torn_end() {
    let mut bytes = frames(3);
    bytes[1] = 0x10; // the first frame now claims 4 KiB more, beyond the end of the file
    assert_eq!(read_frames(&bytes).err().map(|damage| damage.offset), Some(0));
    let step = bytes.len() / 3;
    let mut bytes = frames(3);
    bytes[step + 20] ^= 1;
    let damage = read_frames(&bytes).err().map(|damage| (damage.offset, damage.reason));
    assert_eq!(damage, Some((step as u64, "a frame whose checksum does not match".into())));
}

/// What another version wrote is whole and good: it is reported for what it is, and never cut as a torn end, which
/// would forget what was spent.
#[test]
fn entries_of_another_version_are_neither_read_nor_cut() {
    for version in [0, ENTRY_VERSION - 1, ENTRY_VERSION + 1] {
        let mut bytes = frames(1);
        let step = bytes.len() as u64;
        // Laid out differently, so that this program could not even decode it.
        let body = [&version.to_le_bytes()[..], &[7; 21]].concat();
        bytes.extend((body.len() as u32).to_le_bytes());
        bytes.extend(crc32fast::hash(&body).to_le_bytes());
        bytes.extend(&body);
        let damage = read_frames(&bytes).err().map(|damage| (damage.offset, damage.reason));
        let (offset, reason) = damage.expect("refused");
        assert_eq!(offset, step);
        assert!(reason.contains(&format!("a whole entry of version {version}, where")), "{reason}");
    }
}

#[test]
fn zeros_after_the_end_are_a_torn_frame_but_not_endless_ones() {
    let mut bytes = frames(2);
    bytes.extend([0; 4096]);
    assert_eq!(
        read_frames(&bytes).map(|found| (found.entries.len(), found.torn_bytes)).ok(),
        Some((2, 4096))
    );
    bytes.extend([0; 2 * ENTRY_BYTES_MAX]);
    assert!(read_frames(&bytes).is_err(), "no single append is that long");
}

#[test]
fn the_bytes_of_a_torn_frame_stay_until_something_safe_replaces_them() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join(JOURNAL_FILE);
    let mut torn = frames(2);
    let whole = torn.len() as u64;
    torn.extend([1, 2, 3]);
    std::fs::write(&path, &torn).expect("writes");
    let (mut journal, found) = Journal::open(dir.path()).expect("opens");
    assert_eq!((found.entries.len(), found.torn_bytes), (2, 3));
    assert_eq!(std::fs::read(&path).expect("reads"), torn, "opening changes nothing");
    journal.append(&[]).expect("cuts");
    assert_eq!(std::fs::metadata(&path).expect("there").len(), whole);
    journal.append(&[entry(2)]).expect("appends");
    assert_eq!(std::fs::read(&path).expect("reads"), frames(3));
}

#[test]
fn a_failed_write_halts_the_journal() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join(JOURNAL_FILE);
    std::fs::write(&path, frames(1)).expect("writes");
    let read_only = std::fs::File::open(&path).expect("opens");
    let mut journal = Journal { file: DiskFile::over(read_only, &path), path, end: 0, halted: false };
    assert!(matches!(journal.append(&[entry(0)]), Err(LedgerError::Storage { .. })));
    assert!(matches!(journal.append(&[entry(0)]), Err(LedgerError::Halted { .. })));
}

#[test]
fn two_openers_cannot_share_a_journal() {
    let dir = tempfile::tempdir().expect("a folder");
    let first = Journal::open(dir.path()).expect("opens");
    assert!(matches!(Journal::open(dir.path()), Err(LedgerError::Locked { .. })));
    drop(first);
    assert!(Journal::open(dir.path()).is_ok());
}
