use super::*;
use crate::participant::Permission;

const GOOD: &str = r#"
merchant = "grocery"
region = "eu"
server = "127.0.0.1:4433"
budget_epsilon = 4.0
budget_delta = 1e-6

[policy]
jobs = ["*"]
allow_plain_mode = true
"#;

fn parse(text: &str) -> Result<ClientConfig, Mistakes> {
    ClientConfig::parse(text, Path::new("folder"))
}

/// `GOOD` without the lines that start with any of these keys.
fn without(keys: &[&str]) -> String {
    GOOD.lines().filter(|line| !keys.iter().any(|key| line.starts_with(key))).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_is_not_said_is_safe() {
    let config = parse(GOOD).unwrap();
    assert_eq!(config.policy.privacy_none, Permission::Denied);
    assert!(config.serve.ip().is_loopback());
    assert!(config.data.is_none());
    assert_eq!(config.when_finished, WhenFinished::Stay);
    assert_eq!(config.device, DeviceChoice::Auto);
    assert_eq!(config.folder.ledger(), Path::new("folder/ledger"));
}

#[test]
fn nothing_about_privacy_has_a_default() {
    for key in ["budget_epsilon", "budget_delta", "jobs", "allow_plain_mode"] {
        let mistakes = parse(&without(&[key])).unwrap_err().to_string();
        assert!(mistakes.contains(key), "{mistakes}");
    }
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let text = r#"
merchant = "a/b"
server = "nowhere"
budget_epsilon = -1.0
budget_delta = 0.5
device = "gpu"
[policy]
jobs = ["x y"]
[serve]
address = "0.0.0.0:80"
[data]
path = "rows.csv"
delimiter = "long"
[data.schema]
"#;
    let mistakes = parse(text).unwrap_err();
    let keys = [
        "merchant",
        "region",
        "server",
        "budget_epsilon",
        "budget_delta",
        "device",
        "policy.jobs",
        "policy.allow_plain_mode",
        "serve.address",
        "data.delimiter",
    ];
    assert_eq!(mistakes.0.len(), keys.len(), "{mistakes}");
    for key in keys {
        assert!(mistakes.0.iter().any(|mistake| mistake.starts_with(key)), "{key} in {mistakes}");
    }
}

#[test]
fn unknown_keys_are_refused_wherever_they_stand() {
    for (at, key) in
        [("merchant =", "budget"), ("[policy]", "allow_privacy_none = true"), ("jobs =", "job = 1")]
    {
        let line = if key.contains('=') { key.to_owned() } else { format!("{key} = 1") };
        let text = GOOD.replace(
            at,
            &if at.starts_with('[') { format!("{at}\n{line}") } else { format!("{line}\n{at}") },
        );
        assert!(parse(&text).is_err(), "{text}");
    }
}

#[test]
fn what_weakens_privacy_sits_under_dangerous() {
    let beyond = "[serve]\naddress = \"0.0.0.0:80\"\n";
    assert!(parse(&format!("{GOOD}{beyond}")).is_err());
    let allowed =
        format!("{GOOD}{beyond}[dangerous]\nserve_beyond_loopback = true\nallow_privacy_none = true\n");
    assert_eq!(parse(&allowed).unwrap().policy.privacy_none, Permission::Allowed);
}

#[test]
fn an_experiment_needs_a_share_and_may_name_a_version() {
    let experiment = |lines: &str| parse(&format!("{GOOD}[serve.experiment]\n{lines}"));
    assert_eq!(parse(GOOD).unwrap().experiment, None);
    let named = experiment("challenger_version = 7\nshare = 0.25\n").unwrap().experiment;
    assert_eq!(named, Some(Experiment { challenger_version: Some(7), share: 0.25 }));
    let newest = experiment("share = 0.5\n").unwrap().experiment;
    assert_eq!(newest, Some(Experiment { challenger_version: None, share: 0.5 }));
    for wrong in ["", "share = 0.0\n", "share = 1.0\n", "share = nan\n"] {
        let mistakes = experiment(wrong).unwrap_err().to_string();
        assert!(mistakes.contains("serve.experiment.share"), "{mistakes}");
    }
    assert!(experiment("share = 0.5\nchalenger_version = 7\n").is_err());
}

#[test]
fn paths_are_relative_to_the_configurations_folder() {
    let dir = tempfile::tempdir().unwrap();
    let data = "[data]\npath = \"rows.csv\"\n[data.schema]\nlabel = \"y\"\n";
    std::fs::write(dir.path().join("client.toml"), format!("{GOOD}{data}")).unwrap();
    for path in [dir.path().to_path_buf(), dir.path().join("client.toml")] {
        let config = ClientConfig::load(&path).unwrap();
        assert_eq!(config.data.unwrap().path, dir.path().join("rows.csv"));
        assert_eq!(config.folder.path(), dir.path());
    }
    let absent = ClientConfig::load(&dir.path().join("nothing.toml")).unwrap_err().to_string();
    assert!(absent.contains("nothing.toml"), "{absent}");
}
