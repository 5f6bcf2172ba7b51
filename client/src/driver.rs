//! Runs a client: connects, performs what the participant decides, connects again. (shell)
//!
//! Everything slow happens elsewhere: ledger writes and training on blocking threads, uploads and results on streams and
//! tasks of their own, models on a writer thread. One loop feeds the participant, one input at a time.
//!
//! ```text
//!   control stream ─┐                             ┌─▶ control stream
//!   result streams ─┼─▶ inbox ─▶ participant ─▶ outputs ─▶ ledger (durable, awaited)
//!   sealed updates ─┤      (decides)              ├─▶ training thread ─▶ sealed update
//!   clock ──────────┘                             └─▶ upload task, model store, events
//! ```
//!
//! The environment variable `GUILDHALL_HALT_AT` is a testing aid; `driver/halt.rs` describes it.
//!
//! # Errors
//! A connection that fails is tried again for ever. What ends the process: a ledger that cannot be written, files that
//! cannot be used, an address that cannot be served from.

mod backoff;
mod books;
pub mod contribution;
mod halt;
mod keeper;
mod perform;
mod preparer;
mod program;
mod report;
mod served;
mod session;

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use guildhall_ledger::book::now_unix_s;
use guildhall_ledger::{AuditFinding, Handover};
use guildhall_privacy::noise::{BulkNoise, NoiseSource};
use guildhall_privacy::update::SealedUpdate;
use guildhall_shared::digest::Digest;
use guildhall_shared::id::{Name, RoundId};
use guildhall_shared::identity::IdentityKey;
use guildhall_shared::job::JobSpec;
use guildhall_shared::secagg::seed::SessionSeed;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use crate::config::ClientConfig;
use crate::error::ClientError;
use crate::event::Event;
use crate::folder::{Access, Membership, write_durably};
use crate::model_store::{ModelStore, followed_job};
use crate::participant::{Participant, Standing};
use crate::serve::events::EventLog;
use crate::serve::{Listening, ServedModel, Service};
use crate::transport::{self, Credentials};
use backoff::BackOff;
use books::{Books, Member};
use contribution::{Contributor, OpenContributor};
pub use halt::{HaltAt, HaltError, HaltPoint, Step};
use keeper::Keeper;
use preparer::Preparer;
use served::Steward;
pub use served::{KeptVersion, kept_versions, use_fine_tuned, use_version};
use session::Ending;

/// A session that lasted this long was a good one.
const GOOD_SESSION: Duration = Duration::from_secs(5);

/// Makes a source of noise, in the thread that uses it.
pub type OpenNoise = Arc<dyn Fn() -> Box<dyn NoiseSource> + Send + Sync>;

/// Draws the secrets of one attempt.
pub type DrawSeed = Arc<dyn Fn() -> Result<SessionSeed, getrandom::Error> + Send + Sync>;

/// Where updates and their masks come from.
#[derive(Clone)]
pub struct Sources {
    /// What a merchant contributes to a job.
    pub contributor: OpenContributor,
    /// Noise.
    pub noise: OpenNoise,
    /// The seed of every attempt's keys.
    pub seed: DrawSeed,
    /// SHA-256 of the executable file that runs, for the ledger; none where it is not known.
    pub program: Option<Digest>,
    /// Where to fall silent, in tests.
    pub halt_at: Option<HaltAt>,
}

impl Sources {
    /// The merchant's own data, exact noise, and seeds from the operating system.
    pub fn real(config: &ClientConfig) -> Self {
        Sources {
            contributor: contribution::from_data(config),
            noise: Arc::new(|| Box::new(BulkNoise)),
            seed: Arc::new(draw_seed),
            program: None,
            halt_at: None,
        }
    }
}

/// Runs a client until `shutdown`, or until a job is finished where the configuration says so.
///
/// # Errors
/// [`ClientError`]; a lost connection is none.
pub async fn run(
    config: ClientConfig,
    events: impl Fn(Event) + Send + Sync + 'static,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ClientError> {
    let program = books::blocking(program::digest).await?;
    let sources = Sources { program, halt_at: HaltAt::from_environment()?, ..Sources::real(&config) };
    run_with(config, sources, events, shutdown).await
}

/// [`run`] with other sources: scripted ones in tests.
///
/// # Errors
/// As [`run`].
pub async fn run_with(
    config: ClientConfig,
    sources: Sources,
    events: impl Fn(Event) + Send + Sync + 'static,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ClientError> {
    let mut shutdown = pin!(shutdown);
    let membership = config.folder.membership()?;
    let credentials = credentials(&membership);
    let mut client = Client::open(config, sources, membership, Arc::new(events)).await?;
    let (listening, steward) = client.serve().await?;
    let ended = client.stay_connected(&credentials, shutdown.as_mut()).await;
    steward.abort();
    client.close().await;
    listening.stop().await;
    ended
}

/// Records what an audit found in the ledger of a client that does not run, and signs its checkpoint.
///
/// # Errors
/// [`ClientError::Ledger`] while the client runs: its ledger is locked then.
pub async fn record_audit(config: ClientConfig, finding: AuditFinding) -> Result<(), ClientError> {
    record(config, guildhall_ledger::Event::Audit { finding, time_unix_s: now_unix_s() }).await
}

/// Records in the ledger of a client that does not run that it was handed to somebody, and signs its checkpoint.
///
/// # Errors
/// [`ClientError::Ledger`] while the client runs, and where the ledger never stood where the handover says.
pub async fn record_export(config: ClientConfig, handover: Handover) -> Result<(), ClientError> {
    record(config, guildhall_ledger::Event::Export { handover, time_unix_s: now_unix_s() }).await
}

async fn record(config: ClientConfig, note: guildhall_ledger::Event) -> Result<(), ClientError> {
    let membership = config.folder.membership()?;
    let sources = Sources::real(&config);
    let client = Client::open(config, sources, membership, Arc::new(|_| {})).await?;
    client.books.note(note).await
}

/// Serves the newest version in the folder, without a server and without rounds, until `shutdown`.
///
/// # Errors
/// [`ClientError::NothingToServe`] before the client followed its first job; [`ClientError::Ledger`] while another
/// process runs this client, which then serves already.
pub async fn serve_only(
    config: ClientConfig,
    events: impl Fn(Event) + Send + Sync + 'static,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ClientError> {
    let membership = config.folder.membership()?;
    let sources = Sources::real(&config);
    let mut client = Client::open(config, sources, membership, Arc::new(events)).await?;
    if client.service.current().is_none() {
        return Err(ClientError::NothingToServe { dir: client.config.folder.path().to_path_buf() });
    }
    let (listening, steward) = client.serve().await?;
    shutdown.await;
    steward.abort();
    client.close().await;
    listening.stop().await;
    Ok(())
}

pub(crate) fn draw_seed() -> Result<SessionSeed, getrandom::Error> {
    let mut entropy = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *entropy)?;
    Ok(SessionSeed::from_entropy(*entropy))
}

/// What the server's word about this client's ledger is signed over.
fn fresh_nonce() -> Result<[u8; 32], ClientError> {
    let mut nonce = [0; 32];
    getrandom::fill(&mut nonce).map_err(ClientError::Randomness)?;
    Ok(nonce)
}

fn credentials(membership: &Membership) -> Credentials {
    Credentials {
        authority: membership.authority.clone(),
        certificate: membership.certificate.clone(),
        key: membership.tls_key.clone(),
    }
}

/// An update that is ready, or why there is none (never for a reason that depends on rows).
struct Sealed {
    sid: Digest,
    update: Result<SealedUpdate, String>,
}

/// The job that is followed, as the shell needs it.
struct OpenJob {
    spec: Arc<JobSpec>,
    label: String,
    contributor: Option<Arc<dyn Contributor>>,
    keeper: Keeper,
}

/// A running client.
struct Client {
    config: ClientConfig,
    sources: Sources,
    events: Arc<dyn Fn(Event) + Send + Sync>,
    participant: Arc<Mutex<Participant>>,
    books: Books,
    member: Member,
    job: Option<OpenJob>,
    service: Arc<Service>,
    preparer: Preparer,
    sealed_in: mpsc::UnboundedSender<Sealed>,
    sealed: mpsc::UnboundedReceiver<Sealed>,
    /// When to wake the participant, on its clock.
    wakes_ms: BTreeSet<u64>,
    started: Instant,
    /// Why the session should end, if it should.
    hang_up: Option<String>,
    finished: bool,
    /// The last attempt that is reserved for.
    attempt: RoundId,
    /// Fell silent, because a test asked for it.
    halted: bool,
}

impl Client {
    async fn open(
        config: ClientConfig,
        sources: Sources,
        membership: Membership,
        events: Arc<dyn Fn(Event) + Send + Sync>,
    ) -> Result<Self, ClientError> {
        let pinned = config.folder.read_roster()?;
        let standing = Standing {
            merchant: config.merchant.clone(),
            identity: membership.identity,
            certificate: Digest::of_bytes(&membership.certificate),
            federation: membership.federation,
            federation_key: membership.federation_key,
            policy: config.policy.clone(),
            software: software(),
        };
        let member = Member {
            merchant: config.merchant.clone(),
            identity: IdentityKey::from_secret(&standing.identity.to_secret()),
            federation: standing.federation,
            federation_key: standing.federation_key,
        };
        let participant = Participant::new(standing, pinned.as_ref(), config.folder.read_witness()?)?;
        let mut books = Books::open(&config.folder.ledger(), config.budget, sources.program).await?;
        if let Some(roster) = &pinned {
            books.join(&member, roster).await?;
        }
        let (sealed_in, sealed) = mpsc::unbounded_channel();
        let events_path = config.folder.events();
        let (log, recorded) = books::blocking(move || EventLog::open(&events_path)).await??;
        let service = Arc::new(Service::new(config.budget).with_event_log(log, &recorded));
        let mut client = Client {
            config,
            sources,
            events,
            participant: Arc::new(Mutex::new(participant)),
            books,
            member,
            job: None,
            preparer: Preparer::start(&service),
            service,
            sealed_in,
            sealed,
            wakes_ms: BTreeSet::new(),
            started: Instant::now(),
            hang_up: None,
            finished: false,
            attempt: RoundId { round: 0, attempt: 0 },
            halted: false,
        };
        client.serve_what_is_there();
        Ok(client)
    }

    /// Serves the newest version that is on disk, before the server is reached.
    fn serve_what_is_there(&mut self) {
        // A damaged file is written again as soon as the job is offered.
        let Ok(Some(spec)) = followed_job(&self.config.folder) else { return };
        let label = report::label(&spec);
        let newest =
            ModelStore::open(&self.config.folder.models(&spec.digest()), &spec).and_then(|mut s| s.newest());
        self.books.note_epsilon(&self.service, Some(&spec.name));
        if let Ok(Some(stored)) = newest {
            let served =
                ServedModel::new(&Arc::new(spec), &label, stored.version, stored.model, &stored.state);
            let merchants = served::merchants(&self.config.folder);
            self.service.publish(served.with_released_ranking(&stored.state, merchants));
        }
    }

    async fn serve(&self) -> Result<(Listening, JoinHandle<()>), ClientError> {
        let mut steward = Steward::new(&self.config, &self.service);
        // Before the first question: a pin holds across restarts.
        let steward = books::blocking(move || {
            steward.look();
            steward
        });
        let steward = steward.await?;
        let listening = Listening::start(Arc::clone(&self.service), self.config.serve).await?;
        let address = listening.address;
        write_durably(&self.config.folder.serve_address(), address.to_string().as_bytes(), Access::Shared)?;
        self.tell(Event::Serving { address });
        Ok((listening, steward.start()))
    }

    /// Sessions, one after the other, with growing pauses while they fail.
    async fn stay_connected<S: Future<Output = ()>>(
        &mut self,
        credentials: &Credentials,
        mut shutdown: std::pin::Pin<&mut S>,
    ) -> Result<(), ClientError> {
        let mut back_off = BackOff::default();
        loop {
            let connected = tokio::select! {
                () = shutdown.as_mut() => return Ok(()),
                connected = transport::connect(self.config.server, credentials) => connected,
            };
            let reason = match connected {
                Ok(link) => {
                    let began = Instant::now();
                    let ending = self.session(link, shutdown.as_mut()).await?;
                    // A server that sends clients away at once is not to be asked ten times a second.
                    if began.elapsed() >= GOOD_SESSION {
                        back_off.reset();
                    }
                    match ending {
                        Ending::Shutdown | Ending::Finished => return Ok(()),
                        Ending::Lost(reason) => reason,
                    }
                }
                Err(error @ transport::TransportError::Credentials(_)) => return Err(error.into()),
                Err(error) => error.to_string(),
            };
            self.tell(Event::Disconnected { reason });
            let pause = back_off.next_pause();
            tokio::select! {
                () = shutdown.as_mut() => return Ok(()),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn close(&mut self) {
        if let Some(job) = &mut self.job {
            job.keeper.flush().await;
        }
        // The address is of no use to anybody now; a left-over file does no harm.
        let _ = std::fs::remove_file(self.config.folder.serve_address());
    }

    fn tell(&self, event: Event) {
        (self.events)(event);
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn with_participant<T>(&self, ask: impl FnOnce(&mut Participant) -> T) -> T {
        ask(&mut self.participant.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn software() -> Name {
    Name::new(concat!("guildhall-", env!("CARGO_PKG_VERSION"))).expect("a legal name")
}

#[cfg(test)]
mod tests;
