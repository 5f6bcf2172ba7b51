//! A federation of real processes on loopback, for the demo and for measuring: the processes end when it is dropped.

mod usage;

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use guildhall_client::JoinOptions;
use guildhall_client::model::DeviceChoice;
use guildhall_server::{AdminCommand, AdminReply, InitOptions};
use guildhall_shared::id::Name;
use guildhall_shared::job::JobSpec;
use serde_json::Value;

use crate::error::{CommandError, Context as _};
pub use usage::Usage;

/// Merchants that join at the same time: enough to keep small machines busy while disks and handshakes are waited for.
const JOINING_MAX: usize = 8;

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
    /// Whether rounds without masks are acceptable.
    pub allow_plain_mode: bool,
    /// Whether a job without privacy is acceptable.
    pub allow_privacy_none: bool,
    /// The text of its `[data]` table.
    pub data_table: Option<String>,
}

/// What becomes of a client process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes on until it is told to end.
    Healthy,
    /// It falls silent in this round, right before its update is made: it took part, in masked rounds its keys and shares
    /// are out, and it says "halted". It waits there to be killed.
    FallsSilent {
        /// The round.
        round: u32,
    },
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

    /// Invites and enrols merchants, a few at a time. Their folders will be `merchants/NAME`.
    pub fn enrol(&self, merchants: &[Name], terms: &Terms) -> Result<(), CommandError> {
        let folder = &self.folder;
        let waiting = Mutex::new(merchants.iter());
        let join_some = || -> Result<(), CommandError> {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build().context("starting the runtime")?;
            while let Some(merchant) = waiting.lock().ok().and_then(|mut waiting| waiting.next()) {
                runtime.block_on(enrol_one(folder, merchant, terms))?;
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let joining: Vec<_> =
                (0..JOINING_MAX.min(merchants.len())).map(|_| scope.spawn(join_some)).collect();
            joining.into_iter().try_for_each(|thread| match thread.join() {
                Ok(joined) => joined,
                Err(_) => Err(CommandError::message("a merchant's joining panicked")),
            })
        })
    }

    /// Where a merchant's client lives.
    pub fn client_folder(&self, merchant: &Name) -> PathBuf {
        folder_of(&self.folder, merchant)
    }

    /// Starts an enrolled merchant's client, with one thread for training and one for messages: the machine is shared by
    /// all of them.
    pub fn start_client(&mut self, merchant: &Name, fate: Fate) -> Result<(), CommandError> {
        let folder = self.client_folder(merchant);
        let mut command = Command::new(own_program()?);
        command.args(["client", "--events", "--config"]).arg(folder.join("client.toml"));
        for threads in [guildhall_client::threads::THREADS, "TOKIO_WORKER_THREADS"] {
            command.env(threads, "1");
        }
        if let Fate::FallsSilent { round } = fate {
            command.env("GUILDHALL_HALT_AT", format!("masked:{round}"));
        }
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
        tell(&self.folder, command)
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

    /// Kills clients with SIGKILL.
    pub fn kill(&mut self, merchants: &[Name]) {
        self.clients.retain(|client| !merchants.contains(&client.merchant));
    }

    /// What the server used so far.
    pub fn server_usage(&self) -> Usage {
        Usage::of(self.server.0.id())
    }
}

impl Client {
    /// What this client used so far.
    pub fn usage(&self) -> Usage {
        Usage::of(self.process.0.id())
    }
}

fn folder_of(federation: &Path, merchant: &Name) -> PathBuf {
    federation.join("merchants").join(merchant.as_str())
}

/// Gives the running server of a federation's folder a command.
fn tell(federation: &Path, command: AdminCommand) -> Result<AdminReply, CommandError> {
    match guildhall_server::admin(&federation.join("server"), command).context("the server")? {
        AdminReply::Refused(reason) => Err(CommandError::message(reason)),
        reply => Ok(reply),
    }
}

async fn enrol_one(federation: &Path, merchant: &Name, terms: &Terms) -> Result<(), CommandError> {
    let command = AdminCommand::Invite { merchant: merchant.clone() };
    let AdminReply::Invitation(text) = tell(federation, command)? else {
        return Err(CommandError::message("the server answered an invitation with something else"));
    };
    let options = JoinOptions {
        invitation: text.parse().context("the invitation")?,
        dir: folder_of(federation, merchant),
        region: Name::new("local").context("the region")?,
        budget_epsilon: terms.budget_epsilon,
        budget_delta: terms.budget_delta,
        jobs: vec!["*".into()],
        allow_plain_mode: terms.allow_plain_mode,
        allow_privacy_none: terms.allow_privacy_none,
        device: DeviceChoice::Cpu,
        serve_address: SocketAddr::from(([127, 0, 0, 1], 0)),
        data_table: terms.data_table.clone(),
        exit_when_finished: false,
    };
    guildhall_client::join(&options).await.context(format!("{merchant} joining"))?;
    Ok(())
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
    // A client that is started again goes on in the same log.
    let log_file = OpenOptions::new().create(true).append(true).open(log).context(log.display())?;
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
