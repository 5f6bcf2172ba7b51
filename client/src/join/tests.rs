use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;
use crate::transport::fake::{FakeServer, Pki};

fn options(server: &FakeServer, authority: Digest, dir: &Path) -> JoinOptions {
    JoinOptions {
        invitation: Invitation {
            merchant: Name::new("grocery").unwrap(),
            address: server.address,
            authority,
            token: [5; 32],
        },
        dir: dir.join("grocery"),
        region: Name::new("eu").unwrap(),
        budget_epsilon: 4.0,
        budget_delta: 1e-6,
        jobs: vec!["*".into()],
        allow_plain_mode: true,
        allow_privacy_none: false,
        device: DeviceChoice::Cpu,
        serve_address: "127.0.0.1:0".parse().unwrap(),
        data_table: Some(
            "path = \"rows.csv\"\n[schema]\nlabel = \"y\"\n[schema.numeric.x]\nmin = 0\nmax = 1\n".into(),
        ),
        exit_when_finished: true,
    }
}

fn grant(pki: &Pki, request: &EnrolRequest) -> Enrolled {
    request.verify().unwrap();
    Enrolled {
        federation: Digest([1; 32]),
        federation_key: IdentityKey::from_secret(&[8; 32]).public(),
        certificate: pki.client(&request.signing_request),
        authority: pki.authority.clone(),
    }
}

/// Joins once; the server's answer passes through `change`. Returns the requests it saw.
async fn join_once(
    pki: &Pki,
    options: &JoinOptions,
    server: &FakeServer,
    change: impl Fn(Enrolled) -> EnrolReply,
) -> (Result<Joined, ClientError>, Vec<EnrolRequest>) {
    let mut seen = vec![];
    let serving = async {
        loop {
            server
                .enrol(|request| {
                    let reply = change(grant(pki, &request));
                    seen.push(request);
                    reply
                })
                .await;
        }
    };
    let joined = tokio::select! { joined = join(options) => joined, () = serving => unreachable!() };
    (joined, seen)
}

#[tokio::test]
async fn joining_leaves_a_folder_that_a_client_can_run_from() {
    let (pki, dir) = (Pki::new(), tempfile::tempdir().unwrap());
    let server = FakeServer::start(&pki);
    let options = options(&server, pki.fingerprint(), dir.path());
    let (joined, seen) = join_once(&pki, &options, &server, EnrolReply::Granted).await;
    let joined = joined.unwrap();
    assert_eq!(joined.identity, seen[0].identity);
    let config = ClientConfig::load(&joined.config).unwrap();
    assert_eq!((config.merchant.as_str(), config.region.as_str()), ("grocery", "eu"));
    assert_eq!((config.budget.epsilon, config.budget.delta), (4.0, 1e-6));
    assert_eq!(config.server, server.address);
    let data = config.data.unwrap();
    assert_eq!((data.path, data.schema.label.as_deref()), (options.dir.join("rows.csv"), Some("y")));
    let membership = config.folder.membership().unwrap();
    assert_eq!(membership.federation, Digest([1; 32]));
    assert_eq!(membership.authority, pki.authority);
    for (path, mode) in
        [(config.folder.identity_key(), 0o600), (config.folder.tls_key(), 0o600), (options.dir, 0o700)]
    {
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, mode);
    }
}

#[tokio::test]
async fn a_repetition_after_a_lost_answer_is_the_same_request_to_the_byte() {
    let (pki, dir) = (Pki::new(), tempfile::tempdir().unwrap());
    let server = FakeServer::start(&pki);
    let options = options(&server, pki.fingerprint(), dir.path());
    let refuse = |_| EnrolReply::Refused("come back\nlater".into());
    let (refused, first) = join_once(&pki, &options, &server, refuse).await;
    let error = refused.unwrap_err().to_string();
    assert!(error.contains("come back later"), "{error}");
    assert!(!Folder::at(&options.dir).federation().exists());
    let (joined, second) = join_once(&pki, &options, &server, EnrolReply::Granted).await;
    joined.unwrap();
    assert_eq!(first[0].signing_request, second[0].signing_request);
    assert_eq!(first[0].identity, second[0].identity);
    // A third time nothing is asked, and an edited configuration stays.
    std::fs::write(Folder::at(&options.dir).config(), "edited").unwrap();
    let (joined, third) = join_once(&pki, &options, &server, EnrolReply::Granted).await;
    joined.unwrap();
    assert!(third.is_empty());
    assert_eq!(std::fs::read(Folder::at(&options.dir).config()).unwrap(), b"edited");
}

#[tokio::test]
async fn answers_that_no_authority_would_give_are_not_kept() {
    let (pki, other, dir) = (Pki::new(), Pki::new(), tempfile::tempdir().unwrap());
    let server = FakeServer::start(&pki);
    let options = options(&server, pki.fingerprint(), dir.path());
    let foreign_key = {
        let key = KeyPair::generate().unwrap();
        pki.client(CertificateParams::default().serialize_request(&key).unwrap().der())
    };
    type Change<'a> = Box<dyn Fn(Enrolled) -> Enrolled + 'a>;
    let changes: [(&str, Change<'_>); 3] = [
        ("another authority", Box::new(|e| Enrolled { authority: other.authority.clone(), ..e })),
        ("a certificate for another key", Box::new(|e| Enrolled { certificate: foreign_key.clone(), ..e })),
        ("no certificate", Box::new(|e| Enrolled { certificate: vec![1], ..e })),
    ];
    for (what, change) in changes {
        let (joined, _) = join_once(&pki, &options, &server, |e| EnrolReply::Granted(change(e))).await;
        let error = joined.unwrap_err();
        assert!(matches!(error, ClientError::Join(JoinError::Reply(_))), "{what}: {error}");
        assert!(!Folder::at(&options.dir).federation().exists(), "{what}");
    }
}

#[tokio::test]
async fn a_folder_belongs_to_one_federation() {
    let (pki, other, dir) = (Pki::new(), Pki::new(), tempfile::tempdir().unwrap());
    let server = FakeServer::start(&pki);
    let (joined, _) =
        join_once(&pki, &options(&server, pki.fingerprint(), dir.path()), &server, EnrolReply::Granted).await;
    joined.unwrap();
    let (joined, _) =
        join_once(&pki, &options(&server, other.fingerprint(), dir.path()), &server, EnrolReply::Granted)
            .await;
    assert!(matches!(joined, Err(ClientError::Join(JoinError::OtherFederation { .. }))));
}

#[tokio::test]
async fn options_are_checked_before_anything_is_made_or_asked() {
    let (pki, dir) = (Pki::new(), tempfile::tempdir().unwrap());
    let server = FakeServer::start(&pki);
    let good = options(&server, pki.fingerprint(), dir.path());
    let bad = [
        JoinOptions { budget_epsilon: 0.0, ..good.clone() },
        JoinOptions { budget_delta: f64::NAN, ..good.clone() },
        JoinOptions { jobs: vec!["a b".into()], ..good.clone() },
        JoinOptions { serve_address: "0.0.0.0:80".parse().unwrap(), ..good.clone() },
        JoinOptions { data_table: Some("path = ".into()), ..good.clone() },
        JoinOptions { data_table: Some("pathh = \"x\"".into()), ..good.clone() },
    ];
    for options in bad {
        let error = join(&options).await.unwrap_err();
        assert!(matches!(error, ClientError::Join(JoinError::Options(_))), "{error}");
        assert!(!options.dir.exists());
    }
}

#[test]
fn a_data_table_may_come_with_or_without_its_header() {
    let plain = data_section("path = \"x.csv\"\n[schema]\nlabel = \"y\"\n").unwrap();
    let headed = data_section("[data]\npath = \"x.csv\"\n[data.schema]\nlabel = \"y\"\n").unwrap();
    assert_eq!(plain, headed);
    assert!(plain.contains("[data.schema]"), "{plain}");
}
