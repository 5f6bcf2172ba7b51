//! The stage: a folder as `join` leaves it, a scripted server, and a client that runs in a task.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use guildhall_privacy::clip::ShopperSum;
use guildhall_privacy::ledger::{BudgetLimit, DataDigest, Ledger, LedgerError};
use guildhall_privacy::noise::{NoiseError, NoiseSource};
use guildhall_privacy::parameter::ClippingParameters;
use guildhall_privacy::update::ClippedSum;
use guildhall_shared::digest::Digest;
use guildhall_shared::id::RoundId;
use guildhall_shared::identity::{IdentityKey, PublicKey};
use guildhall_shared::job::JobSpec;
use guildhall_shared::message::{ClientMessage, WitnessedHead};
use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use crate::config::{Budget, ClientConfig, WhenFinished};
use crate::driver::contribution::{ContributionError, Contributor};
use crate::driver::{DrawSeed, HaltAt, Sources, run_with};
use crate::error::ClientError;
use crate::event::Event;
use crate::folder::{Folder, Membership, write_durably};
use crate::participant::tests::harness::{FEDERATION, OWN_SECRET, federation_key, job, masked_job};
use crate::participant::tests::server::Server;
use crate::transport::fake::{FakeServer, FakeSession, Pki};

/// What the merchant has to say.
#[derive(Clone, Copy)]
pub enum Contribution {
    /// (512, −256, 0) in integer steps.
    Known,
    Fails,
    Panics,
}

/// The digest of the data that every contribution is said to read.
pub fn data() -> DataDigest {
    DataDigest::of_files(&[9; 32], &[Digest([0xDA; 32])])
}

/// The program that is said to run.
pub const PROGRAM: Digest = Digest([0xC0; 32]);

impl Contributor for Contribution {
    fn data_digest(&self) -> Option<DataDigest> {
        Some(data())
    }

    fn clipped_sum(
        &self,
        _: &[f64],
        clipping: &ClippingParameters,
        _: RoundId,
    ) -> Result<ClippedSum, ContributionError> {
        match self {
            Contribution::Known => {
                let mut sum = ShopperSum::new(clipping);
                sum.add(&[0.5, -0.25, 0.0]);
                Ok(sum.finish().0)
            }
            Contribution::Fails => Err(ContributionError("scripted".into())),
            Contribution::Panics => panic!("scripted"),
        }
    }
}

/// The same number everywhere.
pub struct Constant(pub i64);

impl NoiseSource for Constant {
    fn fill(&mut self, _: u64, out: &mut [i64]) -> Result<(), NoiseError> {
        out.fill(self.0);
        Ok(())
    }
}

pub struct Scene {
    pub server: Server,
    pub budget_epsilon: f64,
    /// Every sample of the merchant's noise.
    pub noise: i64,
    fake: Option<FakeServer>,
    address: SocketAddr,
    dir: TempDir,
    contribution: Contribution,
    pub seed: DrawSeed,
    pub halt_at: Option<HaltAt>,
    /// What the server says it saw of the ledger.
    pub seen: Option<WitnessedHead>,
    events: Arc<Mutex<Vec<Event>>>,
    stop: watch::Sender<u32>,
}

impl Scene {
    /// In plain mode.
    pub fn new(contribution: Contribution) -> Self {
        Self::of(job(), contribution)
    }

    /// With masked rounds.
    pub fn masked(contribution: Contribution) -> Self {
        Self::of(masked_job(), contribution)
    }

    pub fn of(job: JobSpec, contribution: Contribution) -> Self {
        let (pki, dir) = (Pki::new(), tempfile::tempdir().unwrap());
        let key = KeyPair::generate().unwrap();
        let request = CertificateParams::default().serialize_request(&key).unwrap();
        let certificate = pki.client(request.der());
        let mut server = Server::new(job);
        server.roster.entries[1].certificate = Digest::of_bytes(&certificate);
        let folder = Folder::at(dir.path());
        let private = crate::folder::Access::Private;
        write_durably(&folder.identity_key(), hex::encode(OWN_SECRET).as_bytes(), private).unwrap();
        write_durably(&folder.tls_key(), key.serialized_der(), private).unwrap();
        let membership = Membership {
            identity: IdentityKey::from_secret(&OWN_SECRET),
            tls_key: Zeroizing::new(key.serialize_der()),
            certificate,
            authority: pki.authority.clone(),
            federation: FEDERATION,
            federation_key: federation_key().public(),
        };
        folder.write_enrolment(&membership).unwrap();
        let fake = FakeServer::start(&pki);
        let address = fake.address;
        let (stop, _) = watch::channel(0);
        let events = Arc::default();
        let seed: DrawSeed = Arc::new(crate::driver::draw_seed);
        Scene {
            server,
            budget_epsilon: 4.0,
            noise: 1_000,
            fake: Some(fake),
            address,
            dir,
            contribution,
            seed,
            halt_at: None,
            seen: None,
            events,
            stop,
        }
    }

    pub fn identity(&self) -> PublicKey {
        IdentityKey::from_secret(&OWN_SECRET).public()
    }

    pub fn vector_bytes(&self) -> usize {
        self.server.parameters().vector_bytes()
    }

    pub fn config(&self) -> ClientConfig {
        let text = format!(
            "merchant = \"b\"\nregion = \"eu\"\nserver = \"{}\"\nbudget_epsilon = {:?}\nbudget_delta = 1e-6\n\
             device = \"cpu\"\n[policy]\njobs = [\"*\"]\nallow_plain_mode = true\n",
            self.address, self.budget_epsilon
        );
        let mut config = ClientConfig::parse(&text, self.dir.path()).unwrap();
        config.when_finished = WhenFinished::Exit;
        config
    }

    pub fn start_client(&self) -> JoinHandle<Result<(), ClientError>> {
        let (contribution, noise) = (self.contribution, self.noise);
        let sources = Sources {
            contributor: Arc::new(move |_, _| Ok(Arc::new(contribution))),
            noise: Arc::new(move || Box::new(Constant(noise))),
            seed: Arc::clone(&self.seed),
            program: Some(PROGRAM),
            halt_at: self.halt_at,
        };
        let events = Arc::clone(&self.events);
        let mut stopped = self.stop.subscribe();
        let shutdown = async move {
            let _ = stopped.changed().await;
        };
        let keep = move |event| events.lock().unwrap().push(event);
        tokio::spawn(run_with(self.config(), sources, keep, shutdown))
    }

    pub fn stop(&self) {
        self.stop.send_modify(|stops| *stops += 1);
    }

    pub async fn accept(&self) -> FakeSession {
        self.fake.as_ref().unwrap().accept().await
    }

    /// From Hello to Ready.
    pub async fn open_session(&self) -> FakeSession {
        let mut session = self.accept().await;
        let ClientMessage::Hello(hello) = session.hear().await else { panic!("says Hello first") };
        session.say(self.server.welcome_to(&hello, self.seen)).await;
        session.say(self.server.announcement()).await;
        assert!(matches!(session.hear().await, ClientMessage::CatchUp(_)));
        assert!(matches!(session.hear().await, ClientMessage::Ready(_)));
        session
    }

    pub fn server_is_away(&mut self) {
        self.fake = None;
    }

    pub fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }

    /// Waits until the client has told something.
    pub async fn until(&self, told: impl Fn(&Event) -> bool) {
        while !self.events().iter().any(&told) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The client's folder.
    pub fn client_folder(&self) -> Folder {
        Folder::at(self.dir.path())
    }

    /// The folder of the ledger.
    pub fn ledger_folder(&self) -> PathBuf {
        self.client_folder().ledger()
    }

    fn ledger(&self) -> Result<Ledger, LedgerError> {
        let Budget { epsilon, delta } = self.config().budget;
        Ledger::open(&Folder::at(self.dir.path()).ledger(), BudgetLimit { epsilon, delta })
            .map(|(ledger, _)| ledger)
    }

    /// A killed task lets go of its files once its blocking threads are done.
    pub async fn wait_for_the_ledger(&self) {
        while let Err(LedgerError::Locked { .. }) = self.ledger() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// What was spent, in releases.
    pub async fn releases_paid_for(&self) -> u128 {
        let spent = self.ledger().unwrap().spent().pico();
        let parameters = self.server.parameters();
        let sigma = parameters.noise_standard_deviation_local;
        let shares = u64::from(parameters.honest_noise_shares);
        let one =
            guildhall_privacy::accountant::zcdp::charge(parameters.clipping_bound, shares, sigma).pico();
        assert_eq!(spent % one, 0);
        spent / one
    }

    /// Asks the client over HTTP, as soon as it listens.
    pub async fn get(&self, path: &str) -> String {
        let file = Folder::at(self.dir.path()).serve_address();
        let address: SocketAddr = loop {
            match std::fs::read_to_string(&file).ok().and_then(|text| text.parse().ok()) {
                Some(address) => break address,
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
}
