use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use guildhall_shared::id::Name;
use guildhall_shared::job::{Aggregation, ClippingSpec, PrivacySpec, RoundSpec, Unit};
use guildhall_shared::message::Invitation;
use guildhall_shared::model_spec::Architecture;
use guildhall_shared::optimizer::{OptimizerSpec, UpdateRule};
use guildhall_shared::secagg::MaskGenerator;
use guildhall_shared::task::Task;

use super::*;
use crate::init::{InitOptions, init};
use crate::store::records::MerchantRecord;

fn name(text: &str) -> Name {
    Name::new(text).expect("legal")
}

fn spec(job: &str, quorum: u32) -> JobSpec {
    JobSpec {
        name: name(job),
        purpose: "test".into(),
        task: Task::Dummy { parameters: 4 },
        architecture: Architecture::Vector,
        seed: 1,
        rounds: 2,
        optimizer: OptimizerSpec {
            rule: UpdateRule::Sgd { momentum: 0.1 + 0.2 },
            learning_rate: 0.1,
            average_last_rounds: 0,
        },
        clipping: ClippingSpec { norm_l2: 1.0, bound: 1 << 10 },
        adaptive_clip: None,
        privacy: PrivacySpec::None { unit: Unit::Row },
        round: RoundSpec {
            aggregation: Aggregation::Plain,
            colluders_min: 0,
            mask_generator: MaskGenerator::Aes256Ctr,
            quorum,
            accept_deadline_ms: 1,
            update_deadline_ms: 1,
            upload_slot_ms: 0,
            expected_shoppers: 10,
            shoppers_per_merchant_max: 10,
            participation_rate: 1.0,
        },
    }
}

fn federation(address: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().join("server");
    let address = address.parse().expect("an address");
    init(&folder, &InitOptions { name: name("market"), address }).expect("made");
    (dir, folder)
}

fn refusal(reply: AdminReply) -> String {
    match reply {
        AdminReply::Refused(reason) => reason,
        other => panic!("a refusal, found {other:?}"),
    }
}

fn enrol_by_hand(folder: &Path, merchant: &str, byte: u8) {
    let federation = Federation::open(folder).expect("opens");
    let record = MerchantRecord {
        name: name(merchant),
        region: name("eu"),
        identity: guildhall_shared::identity::PublicKey([byte; 32]),
        certificate: vec![byte],
        key: guildhall_shared::digest::Digest([byte; 32]),
    };
    let used = crate::store::records::InvitationRecord { merchant: name(merchant), used_by: None };
    federation.records.enrol(&guildhall_shared::digest::Digest([byte; 32]), &used, &record).expect("kept");
}

#[test]
fn init_makes_private_files_and_refuses_a_taken_folder() {
    let (_dir, folder) = federation("127.0.0.1:4433");
    for secret in ["federation.key", "authority.key.der", "server.key.der"] {
        let mode = std::fs::metadata(folder.join(secret)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{secret}");
    }
    assert_eq!(std::fs::metadata(&folder).expect("there").permissions().mode() & 0o777, 0o700);
    let before = std::fs::read(folder.join("federation.key")).expect("read");
    let options = InitOptions { name: name("other"), address: "127.0.0.1:1".parse().expect("an address") };
    assert!(matches!(init(&folder, &options), Err(ServerError::Exists(_))));
    assert_eq!(std::fs::read(folder.join("federation.key")).expect("read"), before);
    assert!(matches!(
        admin(&folder.join("nothing"), AdminCommand::Status),
        Err(ServerError::NoFederation(_))
    ));
}

#[test]
fn a_stopped_server_invites_closes_submits_and_lists() {
    let (_dir, folder) = federation("127.0.0.1:4433");
    let ask = |command| admin(&folder, command).expect("answered");
    let AdminReply::Invitation(text) = ask(AdminCommand::Invite { merchant: name("a") }) else {
        panic!("invited")
    };
    let invitation: Invitation = text.parse().expect("an invitation");
    let federation = Federation::open(&folder).expect("opens");
    assert_eq!(invitation.authority, federation.authority.fingerprint());
    drop(federation);
    assert!(refusal(ask(AdminCommand::RosterClose)).contains("found 0"), "nobody is enrolled");
    enrol_by_hand(&folder, "b", 2);
    enrol_by_hand(&folder, "a", 1);
    assert!(refusal(ask(AdminCommand::Invite { merchant: name("a") })).contains("enrolled already"));
    assert!(refusal(ask(AdminCommand::JobSubmit { spec: spec("job", 2) })).contains("roster is open"));
    let AdminReply::RosterClosed { merchants, .. } = ask(AdminCommand::RosterClose) else { panic!("closed") };
    assert_eq!(merchants, [name("a"), name("b")]);
    assert!(refusal(ask(AdminCommand::RosterClose)).contains("already"));
    assert!(
        refusal(ask(AdminCommand::JobSubmit { spec: spec("job", 3) })).contains("at most the 2 merchants")
    );
    let bad = JobSpec { rounds: 0, ..spec("job", 2) };
    assert!(refusal(ask(AdminCommand::JobSubmit { spec: bad })).contains("rounds"));
    let good = spec("job", 2);
    let AdminReply::JobSubmitted { digest, label, .. } = ask(AdminCommand::JobSubmit { spec: good.clone() })
    else {
        panic!("submitted")
    };
    assert_eq!(digest, good.digest().to_string());
    assert!(label.contains("NO PRIVACY"));
    assert!(
        refusal(ask(AdminCommand::JobSubmit { spec: spec("next", 2) })).contains("one job runs at a time")
    );
    assert!(refusal(ask(AdminCommand::JobSubmit { spec: good })).contains("another name"));
    assert!(refusal(ask(AdminCommand::RollBack { version: 0 })).contains("before the newest"));
    let AdminReply::Status(status) = ask(AdminCommand::Status) else { panic!("a status") };
    assert_eq!((status.merchants.len(), status.address), (2, None));
    assert_eq!(status.job.map(|job| (job.settled, job.version, job.finished)), Some((0, 0, false)));
    let AdminReply::Versions(versions) = ask(AdminCommand::Versions) else { panic!("versions") };
    assert_eq!(versions.len(), 1);
}

#[test]
fn an_invitation_needs_an_address_merchants_can_reach() {
    for (address, part) in [("127.0.0.1:0", "port is 0"), ("0.0.0.0:4433", "public_address")] {
        let (_dir, folder) = federation(address);
        let reply = admin(&folder, AdminCommand::Invite { merchant: name("a") }).expect("answered");
        assert!(refusal(reply).contains(part));
    }
}

#[test]
fn a_job_keeps_its_digest_on_the_way_through_the_socket() {
    let command = AdminCommand::JobSubmit { spec: spec("job", 2) };
    let line = serde_json::to_string(&command).expect("encodes");
    assert!(!line.contains('\n'));
    assert_eq!(serde_json::from_str::<AdminCommand>(&line).expect("decodes"), command);
}

#[test]
fn a_locked_store_without_a_socket_is_explained() {
    let (_dir, folder) = federation("127.0.0.1:4433");
    let _held = Federation::open(&folder).expect("opens");
    let error = admin(&folder, AdminCommand::Status).expect_err("locked").to_string();
    assert!(error.contains("in use by another process"), "{error}");
}
