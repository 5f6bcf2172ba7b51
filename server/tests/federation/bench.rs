//! A server in this process, its operator, and what it reports.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use guildhall_server::{AdminCommand, AdminReply, Event, InitOptions, RunOptions};
use guildhall_shared::id::Name;
use guildhall_shared::job::{Aggregation, ClippingSpec, JobSpec, PrivacySpec, RoundSpec, Unit};
use guildhall_shared::message::Invitation;
use guildhall_shared::model_spec::Architecture;
use guildhall_shared::optimizer::{OptimizerSpec, UpdateRule};
use guildhall_shared::secagg::MaskGenerator;
use guildhall_shared::task::Task;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::raw_client::Member;

/// Nothing here takes this long; a test that waits in vain fails instead of hanging.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn name(text: &str) -> Name {
    Name::new(text).expect("legal")
}

/// A job of d dummy parameters.
pub fn spec(parameters: usize, rounds: u32, quorum: u32, update_deadline_ms: u64) -> JobSpec {
    JobSpec {
        name: name("job"),
        purpose: "test".into(),
        task: Task::Dummy { parameters },
        architecture: Architecture::Vector,
        seed: 1,
        rounds,
        optimizer: OptimizerSpec {
            rule: UpdateRule::Sgd { momentum: 0.9 },
            learning_rate: 0.1,
            average_last_rounds: 0,
        },
        clipping: ClippingSpec { norm_l2: 1.0, bound: 1 << 20 },
        adaptive_clip: None,
        privacy: PrivacySpec::None { unit: Unit::Row },
        round: RoundSpec {
            aggregation: Aggregation::Plain,
            colluders_min: 0,
            mask_generator: MaskGenerator::Aes256Ctr,
            quorum,
            accept_deadline_ms: 1_000,
            update_deadline_ms,
            upload_slot_ms: 0,
            expected_shoppers: 10,
            shoppers_per_merchant_max: 1 << 20,
            participation_rate: 1.0,
        },
    }
}

pub struct Server {
    pub address: SocketAddr,
    pub events: mpsc::UnboundedReceiver<Event>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    pub async fn start(folder: PathBuf, address: Option<SocketAddr>) -> Self {
        let (sender, mut events) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let report = move |event| {
                // The test may be over.
                let _ = sender.send(event);
            };
            let shutdown = async {
                let _ = stopped.await;
            };
            guildhall_server::run(&folder, RunOptions { address }, report, shutdown)
                .await
                .expect("runs and stops well");
        });
        match events.recv().await {
            Some(Event::Listening { address }) => Server { address, events, stop, task },
            other => panic!("a listening server, found {other:?}"),
        }
    }

    pub async fn stop(self) {
        self.stop.send(()).expect("running");
        self.task.await.expect("no panic");
    }

    /// Ends it on the spot, like a kill: nothing is said, nothing is written.
    pub async fn crash(self) {
        self.task.abort();
        assert!(self.task.await.expect_err("aborted").is_cancelled());
    }

    /// The first event that `pick` likes; earlier ones are forgotten.
    pub async fn event<T>(&mut self, what: &str, pick: impl Fn(&Event) -> Option<T>) -> T {
        let mut seen = Vec::new();
        let wait = async {
            loop {
                let event = self.events.recv().await.expect("a running server");
                if let Some(found) = pick(&event) {
                    return found;
                }
                seen.push(event);
            }
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(found) => found,
            Err(_) => panic!("expected {what}, found {seen:?}"),
        }
    }

    /// The next refusal whose reason has this part; returns who was refused.
    pub async fn refusal(&mut self, part: &str) -> String {
        let pick = |event: &Event| match event {
            Event::Refused { peer, reason } if reason.contains(part) => Some(peer.clone()),
            _ => None,
        };
        self.event(&format!("a refusal with {part:?}"), pick).await
    }

    pub async fn settled(&mut self) -> Event {
        self.event("a settled round", |event| {
            matches!(event, Event::RoundSettled { .. }).then(|| event.clone())
        })
        .await
    }
}

pub struct Federation {
    pub folder: PathBuf,
    pub server: Server,
    pub members: Vec<Member>,
    _dir: tempfile::TempDir,
}

impl Federation {
    /// A running server without merchants.
    pub async fn empty() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = dir.path().join("server");
        let options =
            InitOptions { name: name("market"), address: "127.0.0.1:0".parse().expect("an address") };
        guildhall_server::init(&folder, &options).expect("made");
        let server = Server::start(folder.clone(), None).await;
        Federation { folder, server, members: Vec::new(), _dir: dir }
    }

    /// A running server with a closed roster of `merchants`.
    pub async fn closed(merchants: usize) -> Self {
        let mut federation = Self::empty().await;
        for i in 0..merchants {
            let invitation = federation.invite(&format!("m{i}")).await;
            federation.members.push(Member::enrol(&invitation, i as u8 + 1).await.expect("enrolled"));
        }
        assert!(matches!(federation.admin(AdminCommand::RosterClose).await, AdminReply::RosterClosed { .. }));
        federation
    }

    pub async fn admin(&self, command: AdminCommand) -> AdminReply {
        let folder = self.folder.clone();
        let asked = tokio::task::spawn_blocking(move || guildhall_server::admin(&folder, command));
        asked.await.expect("no panic").expect("answered")
    }

    pub async fn invite(&self, merchant: &str) -> Invitation {
        match self.admin(AdminCommand::Invite { merchant: name(merchant) }).await {
            AdminReply::Invitation(text) => text.parse().expect("an invitation"),
            other => panic!("an invitation, found {other:?}"),
        }
    }

    pub async fn submit(&self, spec: &JobSpec) {
        let reply = self.admin(AdminCommand::JobSubmit { spec: spec.clone() }).await;
        assert!(matches!(reply, AdminReply::JobSubmitted { .. }), "{reply:?}");
    }

    /// Crashes the server and starts it again, at another address.
    pub async fn crash_and_start(&mut self) {
        let placeholder = Server::placeholder(self.server.address);
        std::mem::replace(&mut self.server, placeholder).crash().await;
        self.server = Server::start(self.folder.clone(), None).await;
    }

    /// Stops the server and starts it again at the same address.
    pub async fn restart(&mut self) {
        let (address, folder) = (self.server.address, self.folder.clone());
        let placeholder = Server::placeholder(address);
        std::mem::replace(&mut self.server, placeholder).stop().await;
        self.server = Server::start(folder, Some(address)).await;
    }
}

impl Server {
    fn placeholder(address: SocketAddr) -> Self {
        let (_, events) = mpsc::unbounded_channel();
        Server { address, events, stop: oneshot::channel().0, task: tokio::spawn(async {}) }
    }
}
