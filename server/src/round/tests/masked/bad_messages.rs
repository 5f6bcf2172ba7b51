//! What is wrong with a message is said by name, and changes nothing.

use super::*;

#[test]
fn every_bad_message_is_refused_by_name_and_changes_nothing() {
    // The bench checks that a refused message leaves the state and sends nothing.
    let sid = offer_and_attempt(5).0.sid();
    for stage in ["advertising", "sharing", "collecting", "certifying", "unmasking"] {
        let mut bench = Bench::up_to(5, stage);
        let said = bench.next_of(1);
        let mut refuse = |who: u16, said: &Said, part: &str| {
            let error = bench.say(who, said.message()).expect_err(part).to_string();
            assert!(error.contains(part) && error.contains("round 4 attempt 1"), "{stage}, {part}: {error}");
        };
        refuse(77, &said, "merchant #77: expected a message from a merchant the offer went to");
        let copied = if stage == "sharing" { "holders that are not those" } else { "signature" };
        refuse(2, &said, copied);
        refuse(1, &stale(&said), "expected session");
        refuse(1, &damaged(&said), "merchant-1: ");
        for (name, other) in everything_else(&said) {
            refuse(1, &other, name);
        }
        let accept = Accept::sign(sid, Digest([2; 32]), Digest([4; 32]), &key(1));
        let error = bench.say(1, RoundMessage::Accept(accept)).expect_err("plain mode's");
        assert!(matches!(error.fault, Fault::Phase { found: "an acceptance", .. }), "{error}");
        let complaint = bench.merchants[1].complaint(1);
        bench.say(1, RoundMessage::Complaint(complaint)).expect_err("nobody complains about itself");
        // The good message is as good as ever, once.
        bench.say(1, said.message()).expect("good");
        let error = bench.say(1, said.message()).expect_err("said already");
        assert!(error.to_string().contains("found a second"), "{stage}: {error}");
    }
}

fn stale(said: &Said) -> Said {
    let (mut said, other) = (said.clone(), Digest([7; 32]));
    match &mut said {
        Said::Advertise(message) => message.sid = other,
        Said::Shares(message) => message.sid = other,
        Said::Update(header, _) => header.sid = other,
        Said::Certify(message) => message.sid = other,
        Said::Unmask(message) => message.sid = other,
    }
    said
}

/// The same message with something inside changed that its signature covers.
fn damaged(said: &Said) -> Said {
    let mut said = said.clone();
    match &mut said {
        Said::Advertise(message) => message.mask_key = message.encryption_key,
        Said::Shares(message) => message.commitment = Digest([7; 32]),
        Said::Update(_, words) => words[0] ^= 1,
        Said::Certify(message) => message.signature.0[0][0] ^= 1,
        Said::Unmask(message) => message.seeds[0].value[0] ^= 1,
    }
    said
}

/// Messages of merchant 1 that belong to the other stages.
fn everything_else(said: &Said) -> Vec<(&'static str, Said)> {
    let all = [
        ("advertising", "an advertisement of keys"),
        ("sharing", "dealt shares"),
        ("collecting", "an update"),
        ("certifying", "a signature over the survivors"),
        ("unmasking", "shares to unmask with"),
    ];
    let now = said.message().name();
    // A survivor's signature is welcome until the end: the certificate may have crossed it.
    let welcome = |name: &str| now == "shares to unmask with" && name == "a signature over the survivors";
    let others = all.into_iter().filter(|(_, name)| *name != now && !welcome(name));
    others.map(|(stage, name)| (name, Bench::up_to(5, stage).next_of(1))).collect()
}
