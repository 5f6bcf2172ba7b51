//! A federation of real processes on loopback, for the demo and for measuring: the processes end when it is dropped.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use guildhall_client::JoinOptions;
use guildhall_client::model::DeviceChoice;
use guildhall_server::{AdminCommand, AdminReply, InitOptions};
use guildhall_shared::id::Name;
use guildhall_shared::job::JobSpec;
use serde_json::Value;

use crate::error::{CommandError, Context as _};

/// Something a process reported.
#[derive(Debug)]
pub struct Report {
    /// The merchant, or `None` for the server.
    pub merchant: Option<Name>,
    /// One event, as printed by the process.
    pub event: Value,
    /// When it was read.
    pub at: Instant,
}

impl Report {
    /// The event's name.
    pub fn name(&self) -> &str {
        self.event["event"].as_str().unwrap_or_default()
    }

    /// Whether this is the server's event of that name.
    pub fn is_server(&self, name: &str) -> bool {
        self.merchant.is_none() && self.name() == name
    }
}

/// A server and its clients, each a process of its own.
pub struct LocalFederation {
    folder: PathBuf,
    server: Process,
    clients: Vec<Client>,
    sender: Sender<Report>,
    reports: Receiver<Report>,
}

/// On what terms a merchant joins.
#[derive(Clone, Debug)]
pub struct Terms {
    /// ε its shoppers may lose.
    pub budget_epsilon: f64,
    /// δ.
    pub budget_delta: f64,
    /// Whether a job without privacy is acceptable.
    pub allow_privacy_none: bool,
    /// The text of its `[data]` table.
    pub data_table: Option<String>,
}

/// One client process.
pub struct Client {
    /// The merchant.
    pub merchant: Name,
    /// Its folder.
    pub folder: PathBuf,
    process: Process,
}

/// A child that is killed when dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only where the process has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a process used so far, as the kernel counts it.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub struct Usage {
    /// User and system time.
    pub processor_seconds: f64,
    /// Largest resident set.
    pub peak_memory_bytes: u64,
}

impl LocalFederation {
    /// Makes a federation in an empty folder and starts its server.
    pub fn start(folder: &Path) -> Result<Self, CommandError> {
        let server_folder = folder.join("server");
        let address = free_address()?;
        let name = Name::new("local").context("the federation's name")?;
        guildhall_server::init(&server_folder, &InitOptions { name, address })
            .context("making the federation")?;
        let (sender, reports) = channel();
        let mut command = Command::new(own_program()?);
        command.args(["server", "run", "--events", "--dir"]).arg(&server_folder);
        let server = spawn(command, &folder.join("server.log"), None, &sender)?;
        let mut federation =
            LocalFederation { folder: folder.to_path_buf(), server, clients: vec![], sender, reports };
        federation.wait_for(Duration::from_secs(20), "the server to listen", |r| r.is_server("listening"))?;
        Ok(federation)
    }

    /// Invites and enrols a merchant. Its folder will be `merchants/NAME`.
    pub async fn enrol(&self, merchant: &Name, terms: Terms) -> Result<(), CommandError> {
        let command = AdminCommand::Invite { merchant: merchant.clone() };
        let AdminReply::Invitation(text) = self.admin(command)? else {
            return Err(CommandError::message("the server answered an invitation with something else"));
        };
        let options = JoinOptions {
            invitation: text.parse().context("the invitation")?,
            dir: self.client_folder(merchant),
            region: Name::new("local").context("the region")?,
            budget_epsilon: terms.budget_epsilon,
            budget_delta: terms.budget_delta,
            jobs: vec!["*".into()],
            allow_plain_mode: true,
            allow_privacy_none: terms.allow_privacy_none,
            device: DeviceChoice::Cpu,
            serve_address: SocketAddr::from(([127, 0, 0, 1], 0)),
            data_table: terms.data_table,
            exit_when_finished: false,
        };
        guildhall_client::join(&options).await.context(format!("{merchant} joining"))?;
        Ok(())
    }

    /// Where a merchant's client lives.
    pub fn client_folder(&self, merchant: &Name) -> PathBuf {
        self.folder.join("merchants").join(merchant.as_str())
    }

    /// Starts an enrolled merchant's client, with one thread for training: the machine is shared by all of them.
    pub fn start_client(&mut self, merchant: &Name) -> Result<(), CommandError> {
        let folder = self.client_folder(merchant);
        let mut command = Command::new(own_program()?);
        command.args(["client", "--events", "--config"]).arg(folder.join("client.toml"));
        command.env("RAYON_NUM_THREADS", "1").env("CANDLE_NUM_THREADS", "1");
        let log = self.folder.join("merchants").join(format!("{merchant}.log"));
        let process = spawn(command, &log, Some(merchant.clone()), &self.sender)?;
        self.clients.retain(|client| client.merchant != *merchant);
        self.clients.push(Client { merchant: merchant.clone(), folder, process });
        Ok(())
    }

    /// Closes the roster and submits a job.
    pub fn begin(&self, job: &JobSpec) -> Result<(), CommandError> {
        self.admin(AdminCommand::RosterClose)?;
        self.admin(AdminCommand::JobSubmit { spec: job.clone() })?;
        Ok(())
    }

    /// Gives the running server a command.
    pub fn admin(&self, command: AdminCommand) -> Result<AdminReply, CommandError> {
        match guildhall_server::admin(&self.folder.join("server"), command).context("the server")? {
            AdminReply::Refused(reason) => Err(CommandError::message(reason)),
            reply => Ok(reply),
        }
    }

    /// The next report, or `None` when nothing came in time.
    pub fn next_report(&self, patience: Duration) -> Result<Option<Report>, CommandError> {
        match self.reports.recv_timeout(patience) {
            Ok(report) => Ok(Some(report)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(CommandError::message("all processes ended")),
        }
    }

    /// Reads reports until one is wanted; the others are passed over.
    pub fn wait_for(
        &mut self,
        patience: Duration,
        what: &str,
        wanted: impl Fn(&Report) -> bool,
    ) -> Result<Report, CommandError> {
        let until = Instant::now() + patience;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.next_report(left)? {
                Some(report) if wanted(&report) => return Ok(report),
                Some(_) => {}
                None => return Err(self.gave_up(what, patience)),
            }
            self.check_server(what)?;
        }
    }

    /// An error that names the logs.
    pub fn gave_up(&self, what: &str, patience: Duration) -> CommandError {
        CommandError::message(format!(
            "waited {} s in vain for {what}; the processes' logs are in {} (keep them with --keep DIR)",
            patience.as_secs(),
            self.folder.display()
        ))
    }

    fn check_server(&mut self, what: &str) -> Result<(), CommandError> {
        match self.server.0.try_wait() {
            Ok(Some(status)) => Err(CommandError::message(format!(
                "the server ended with {status} before {what}; its log is {}",
                self.folder.join("server.log").display()
            ))),
            _ => Ok(()),
        }
    }

    /// The clients.
    pub fn clients(&self) -> &[Client] {
        &self.clients
    }

    /// Kills clients with SIGKILL, the last started first.
    pub fn kill_clients(&mut self, count: usize) {
        self.clients.truncate(self.clients.len().saturating_sub(count));
    }

    /// What the server used so far.
    pub fn server_usage(&self) -> Usage {
        usage(self.server.0.id())
    }
}

impl Client {
    /// What this client used so far.
    pub fn usage(&self) -> Usage {
        usage(self.process.0.id())
    }
}

fn own_program() -> Result<PathBuf, CommandError> {
    std::env::current_exe().context("finding this program")
}

/// A loopback address that was free a moment ago.
fn free_address() -> Result<SocketAddr, CommandError> {
    UdpSocket::bind("127.0.0.1:0")
        .and_then(|socket| socket.local_addr())
        .context("finding a free port on loopback")
}

fn spawn(
    mut command: Command,
    log: &Path,
    merchant: Option<Name>,
    sender: &Sender<Report>,
) -> Result<Process, CommandError> {
    let log_file = File::create(log).context(log.display())?;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log_file);
    let mut child = command.spawn().context("starting a process")?;
    let output = child.stdout.take();
    let sender = sender.clone();
    std::thread::spawn(move || {
        let Some(output) = output else { return };
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let Ok(event) = serde_json::from_str(&line) else { continue };
            let report = Report { merchant: merchant.clone(), event, at: Instant::now() };
            if sender.send(report).is_err() {
                return;
            }
        }
    });
    Ok(Process(child))
}

/// Reads /proc; zeros where there is none.
fn usage(process: u32) -> Usage {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{process}/{file}")).unwrap_or_default();
    let stat = read("stat");
    // Fields after the parenthesised name; utime and stime are fields 14 and 15, in ticks of 1/100 s on Linux.
    let after_name = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    let ticks: u64 =
        after_name.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<u64>().ok()).sum();
    let status = read("status");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes: u64 = peak.and_then(|p| p.split_whitespace().next()?.parse().ok()).unwrap_or(0);
    Usage { processor_seconds: ticks as f64 / 100.0, peak_memory_bytes: kibibytes * 1024 }
}
