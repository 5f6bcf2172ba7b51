//! A federation made with the command line, as an operator and its merchants would.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_guildhall");

/// A merchant and its policy.
#[derive(Clone)]
pub struct Member {
    pub name: &'static str,
    pub budget_epsilon: f64,
    pub allow_plain_mode: bool,
    pub allow_privacy_none: bool,
}

impl Member {
    /// One that takes part in plain rounds too.
    pub fn new(name: &'static str) -> Self {
        Member { name, budget_epsilon: 100.0, allow_plain_mode: true, allow_privacy_none: false }
    }

    /// One that insists on masks.
    pub fn masked(name: &'static str) -> Self {
        Member { allow_plain_mode: false, ..Member::new(name) }
    }

    /// One that insists on masks, but not on noise.
    pub fn unnoised(name: &'static str) -> Self {
        Member { allow_privacy_none: true, ..Member::masked(name) }
    }
}

/// Parameters of every job here.
pub const PARAMETERS: usize = 500;

/// A job that reads no rows, in plain mode.
pub fn dummy_job(
    rounds: u32,
    quorum: u32,
    privacy: &str,
    update_deadline_ms: u64,
    upload_slot_ms: u64,
) -> String {
    let job = job(rounds, quorum, privacy, 3_000, update_deadline_ms);
    format!("{job}aggregation = \"plain\"\nupload_slot_ms = {upload_slot_ms}\n")
}

/// A job that reads no rows. It says nothing of masks: they are the default.
pub fn masked_job(rounds: u32, privacy: &str, accept_deadline_ms: u64, update_deadline_ms: u64) -> String {
    job(rounds, 1, privacy, accept_deadline_ms, update_deadline_ms)
}

fn job(rounds: u32, quorum: u32, privacy: &str, accept_deadline_ms: u64, update_deadline_ms: u64) -> String {
    format!(
        "name = \"dummy\"\npurpose = \"a test without rows\"\nseed = 1\nrounds = {rounds}\nunit = \"shopper\"\n{privacy}\n\
         [task]\nkind = \"dummy\"\nparameters = {PARAMETERS}\n\
         [optimizer]\nkind = \"adam\"\nlearning_rate = 0.1\nbeta1 = 0.9\nbeta2 = 0.99\nepsilon = 1e-8\n\
         [clipping]\nnorm_l2 = 1.0\n\
         [round]\nquorum = {quorum}\naccept_deadline_ms = {accept_deadline_ms}\nupdate_deadline_ms = {update_deadline_ms}\n\
         expected_shoppers = 100\nshoppers_per_merchant_max = 100\n"
    )
}

struct Process {
    child: Child,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub struct Federation {
    folder: tempfile::TempDir,
    server: Option<Process>,
    clients: BTreeMap<String, Process>,
    invitations: BTreeMap<String, String>,
    sender: Sender<(String, Value)>,
    events: Receiver<(String, Value)>,
    seen: Vec<(String, Value)>,
}

const SERVER: &str = "";

impl Federation {
    /// Makes a federation, starts its server and enrols everybody.
    pub fn start(members: &[Member]) -> Self {
        let folder = tempfile::Builder::new().prefix("gh").tempdir().expect("a folder");
        let (sender, events) = channel();
        let (clients, invitations) = (BTreeMap::new(), BTreeMap::new());
        let mut federation =
            Federation { folder, server: None, clients, invitations, sender, events, seen: vec![] };
        let port = UdpSocket::bind("127.0.0.1:0").and_then(|s| s.local_addr()).expect("a free port").port();
        let address = format!("127.0.0.1:{port}");
        federation.succeed(&["server", "--dir", "server", "init", "--address", &address]);
        federation.start_server();
        for member in members {
            federation.join(member);
        }
        federation
    }

    fn join(&mut self, member: &Member) {
        let invitation =
            self.succeed(&["server", "--dir", "server", "invite", member.name]).trim().to_string();
        let epsilon = member.budget_epsilon.to_string();
        let mut join = vec!["join", &invitation, "--dir", member.name];
        join.extend(["--budget-epsilon", &epsilon, "--budget-delta", "1e-6"]);
        join.extend(member.allow_plain_mode.then_some("--allow-plain-mode"));
        self.succeed(&join);
        if member.allow_privacy_none {
            let path = self.path(member.name).join("client.toml");
            let text = std::fs::read_to_string(&path).expect("a configuration");
            let bold = text.replace("allow_privacy_none = false", "allow_privacy_none = true");
            assert_ne!(text, bold);
            std::fs::write(&path, bold).expect("written");
        }
        self.invitations.insert(member.name.into(), invitation);
    }

    pub fn invitation_of(&self, merchant: &str) -> String {
        self.invitations[merchant].clone()
    }

    /// Closes the roster, submits the job and starts all clients.
    pub fn begin(&mut self, job: &str) {
        self.begin_with(job, &[]);
    }

    /// The same, with some clients that fall silent right before a step: (merchant, `STAGE[:ROUND]`).
    pub fn begin_with(&mut self, job: &str, halts: &[(&str, String)]) {
        std::fs::write(self.path("job.toml"), job).expect("written");
        self.succeed(&["server", "--dir", "server", "roster", "close"]);
        self.succeed(&["server", "--dir", "server", "job", "submit", "job.toml"]);
        let names: Vec<String> = self.invitations.keys().cloned().collect();
        for name in names {
            match halts.iter().find(|(merchant, _)| *merchant == name) {
                Some((_, at)) => self.start_client_halting(&name, at),
                None => self.start_client(&name),
            }
        }
    }

    pub fn start_server(&mut self) {
        let process = self.spawn(SERVER, &["server", "--dir", "server", "run", "--events"], None);
        self.server = Some(process);
        self.wait(Duration::from_secs(60), |e| e["event"] == "listening");
    }

    pub fn start_client(&mut self, merchant: &str) {
        self.start_client_at(merchant, None);
    }

    /// A client that falls silent right before a step, `STAGE[:ROUND]`, and reports it.
    pub fn start_client_halting(&mut self, merchant: &str, at: &str) {
        self.start_client_at(merchant, Some(at));
    }

    fn start_client_at(&mut self, merchant: &str, halt_at: Option<&str>) {
        let config = format!("{merchant}/client.toml");
        let process = self.spawn(merchant, &["client", "--events", "--config", &config], halt_at);
        self.clients.insert(merchant.into(), process);
    }

    /// SIGKILL.
    pub fn kill(&mut self, merchant: &str) {
        assert!(self.clients.remove(merchant).is_some(), "{merchant} was not running");
    }

    /// SIGKILL.
    pub fn kill_server(&mut self) {
        self.server = None;
    }

    pub fn status(&self) -> Value {
        self.admin(&["status"])["status"].clone()
    }

    pub fn admin(&self, arguments: &[&str]) -> Value {
        let all: Vec<&str> = ["server", "--dir", "server"].iter().chain(arguments).copied().collect();
        serde_json::from_str(&self.succeed(&all)).expect("JSON")
    }

    /// The server's next event that is wanted, and not returned before.
    pub fn wait(&mut self, patience: Duration, wanted: impl Fn(&Value) -> bool) -> Value {
        self.wait_client(SERVER, patience, wanted)
    }

    /// A client's next event that is wanted, and not returned before.
    pub fn wait_client(&mut self, who: &str, patience: Duration, wanted: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + patience;
        let mut next = 0;
        loop {
            while next < self.seen.len() {
                if self.seen[next].0 == who && wanted(&self.seen[next].1) {
                    let found = self.seen.remove(next).1;
                    // What the same process said before is behind us.
                    let mut index = 0;
                    self.seen.retain(|(other, _)| {
                        index += 1;
                        other != who || index > next
                    });
                    return found;
                }
                next += 1;
            }
            match self.events.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(event) => self.seen.push(event),
                Err(_) => {
                    panic!("{who:?} did not report what was awaited; seen: {:#?}\n{}", self.seen, self.logs())
                }
            }
        }
    }

    /// Whether a client has reported something that no `wait_client` has passed over.
    pub fn has_said(&mut self, who: &str, said: impl Fn(&Value) -> bool) -> bool {
        self.seen.extend(self.events.try_iter());
        self.seen.iter().any(|(other, event)| other == who && said(event))
    }

    fn logs(&self) -> String {
        let mut text = String::new();
        for entry in std::fs::read_dir(self.folder.path()).expect("a folder").flatten() {
            if entry.path().extension().is_some_and(|e| e == "log") {
                let log = std::fs::read_to_string(entry.path()).unwrap_or_default();
                text += &format!("--- {}\n{log}\n", entry.path().display());
            }
        }
        text
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        Command::new(PROGRAM)
            .args(arguments)
            .current_dir(self.folder.path())
            .output()
            .expect("the program runs")
    }

    fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "guildhall {arguments:?}: {errors}\n{}", self.logs());
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        Path::join(self.folder.path(), name)
    }

    fn spawn(&self, who: &str, arguments: &[&str], halt_at: Option<&str>) -> Process {
        let log = self.path(&format!("{}.log", if who == SERVER { "server" } else { who }));
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log).expect("a log file");
        let mut child = Command::new(PROGRAM)
            .args(arguments)
            .current_dir(self.folder.path())
            .env("GUILDHALL_THREADS", "1")
            .envs(halt_at.map(|at| ("GUILDHALL_HALT_AT", at)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the program starts");
        let output = child.stdout.take().expect("piped");
        let (sender, who) = (self.sender.clone(), who.to_string());
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let event = serde_json::from_str(&line).expect("every line of events is JSON");
                if sender.send((who.clone(), event)).is_err() {
                    return;
                }
            }
        });
        Process { child }
    }
}
