use super::*;

fn key(byte: u8) -> IdentityKey {
    IdentityKey::from_secret(&[byte; 32])
}

fn owner() -> Signer {
    Signer::merchant(&Digest([1; 32]), &Name::new("bakery").expect("legal"), key(1).public())
}

fn server() -> Signer {
    Signer::server(&Digest([1; 32]), key(2).public())
}

fn note() -> SignedNote {
    let checkpoint = Checkpoint { origin: owner().name, head: TreeHead { size: 70, root: Digest([7; 32]) } };
    let cosignature = checkpoint.cosign(&key(2), 1_700_000_000);
    let mut note = checkpoint.sign(&key(1));
    note.add_cosignature(&server(), 1_700_000_000, cosignature);
    note
}

#[test]
fn a_note_survives_its_text_and_names_its_witnesses() {
    let read = SignedNote::parse(&note().to_text()).expect("a note");
    assert_eq!(read, note());
    let witnesses = read.verify(&owner(), &[server()]).expect("good");
    assert_eq!(witnesses, [Witnessed { name: server().name, time_unix_s: 1_700_000_000 }]);
}

/// The example key and note of the Go package `golang.org/x/mod/sumdb/note`, whose format this is.
#[test]
fn known_answer_of_another_implementation() {
    let name = "PeterNeumann";
    // PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW
    let blob = STANDARD.decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW").expect("base64");
    let mut bytes = [0; 32];
    bytes.copy_from_slice(&blob[1..]);
    let signer = Signer { name: name.into(), key: PublicKey(bytes) };
    assert_eq!(blob[0], ED25519);
    assert_eq!(signer.key_id(ED25519), [0xc7, 0x4f, 0x20, 0xa3]);
    let text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
    let line = Line::parse(
        "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=",
    )
    .expect("a line");
    assert_eq!(line.check(&signer, ED25519, text), Ok(()));
}

#[test]
fn every_changed_bit_of_a_note_is_noticed() {
    let text = note().to_text().into_bytes();
    for bit in 0..text.len() * 8 {
        let mut changed = text.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let Ok(changed) = String::from_utf8(changed) else { continue };
        let verdict = SignedNote::parse(&changed).and_then(|note| note.verify(&owner(), &[server()]));
        assert!(verdict.is_err(), "bit {bit}: {changed}");
    }
}

#[test]
fn strangers_repetitions_and_other_orders_are_refused() {
    let good = note().to_text();
    let (head, signatures) = good.split_once("\n\n").expect("a note");
    let lines: Vec<&str> = signatures.lines().collect();
    let verify = |lines: &[&str]| {
        let text = format!("{head}\n\n{}\n", lines.join("\n"));
        SignedNote::parse(&text).and_then(|note| note.verify(&owner(), &[server()]))
    };
    assert!(verify(&lines).is_ok());
    assert!(verify(&[lines[1], lines[0]]).is_err(), "the owner's comes first");
    assert!(verify(&lines[1..]).is_err(), "only a witness");
    assert!(verify(&[lines[0], lines[1], lines[1]]).is_err(), "a witness twice");
    assert!(verify(&[lines[0], lines[0]]).is_err(), "the owner twice");
    let stranger = lines[1].replace("guildhall/", "elsewhere/");
    assert!(matches!(verify(&[lines[0], &stranger]), Err(NoteError::Unknown { .. })));
    assert!(SignedNote::parse(&good.replace('\n', "\r\n")).is_err());
    assert!(SignedNote::parse(good.trim_end()).is_err());
    assert!(SignedNote::parse(&good.replacen("\n70\n", "\n070\n", 1)).is_err());
    assert!(SignedNote::parse("").is_err());
}

/// A checkpoint's own signature never counts as a cosignature, nor the other way round.
#[test]
fn kinds_of_signatures_are_apart() {
    let checkpoint = note().checkpoint().clone();
    let mut mixed = checkpoint.clone().sign(&key(1));
    let own = key(2).sign_text(&checkpoint.text()).expect("long enough");
    mixed.add_cosignature(&server(), 5, own);
    assert_eq!(mixed.verify(&owner(), &[server()]), Err(NoteError::Signature { name: server().name }));
}
