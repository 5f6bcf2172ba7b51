//! `guildhall bench aggregation`: the arithmetic of one masked attempt in this process, without network, rows and noise.
//!
//! Clients and server are the cores that the processes run. Stages follow each other as messages would; only one vector
//! for each thread and the server's running sum are ever in memory.

mod client;
mod federation;

use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use guildhall_shared::id::MerchantIndex;
use guildhall_shared::message::{Certificate, ForwardedShares, RoundRoster, Survivors};
use guildhall_shared::ring::RingVector;
use guildhall_shared::round_parameters::RoundMode;
use guildhall_shared::secagg::server::{Advertising, Collecting, Unmasked};
use guildhall_shared::secagg::{Graph, server};
use rayon::prelude::*;
use serde::Serialize;

use crate::cli::BenchAggregationArgs;
use crate::error::{CommandError, Context as _};
use crate::process::Usage;
use client::{Client, Spent};
use federation::Federation;

/// What `bench aggregation` prints with `--json`.
#[derive(Debug, Serialize)]
pub struct BenchAggregation {
    /// n.
    pub merchants: usize,
    /// d.
    pub parameters: usize,
    /// Merchants that vanish after their shares and before their masked vector.
    pub dropouts: usize,
    /// Threads that the clients share; the server has one.
    pub threads: usize,
    /// How updates travelled and were protected.
    pub mode: &'static str,
    /// C.
    pub colluders: u32,
    /// t.
    pub threshold: u32,
    /// m_min.
    pub survivors_min: u32,
    /// k of the sparse graph; absent in the complete one.
    pub holders: Option<u32>,
    /// Bytes of one vector of ring words.
    pub vector_bytes: usize,
    /// Bytes of the shares a merchant sends beside its vector.
    pub shares_bytes: usize,
    /// Processor seconds of one surviving merchant: the mean.
    pub client_seconds: ClientSeconds,
    /// The greatest total of any merchant.
    pub client_seconds_max: f64,
    /// Processor seconds of the server.
    pub server_seconds: ServerSeconds,
    /// From the first key to the checked sum.
    pub wall_seconds: f64,
    /// Largest resident set of this process, all merchants and the server together.
    pub peak_memory_bytes: u64,
    /// The unmasked sum is that of the survivors' vectors, word by word.
    pub sum_is_right: bool,
}

/// Where a merchant's time goes.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct ClientSeconds {
    /// Clipping, rounding and summing the contribution of one shopper.
    pub quantise: f64,
    /// Keys, shares, agreements and the signatures on them: M1 to M4.
    pub keys_and_shares: f64,
    /// Expanding and adding masks, and hashing the masked vector: M5.
    pub mask: f64,
    /// Signatures of survivors and certificate, revealing shares: M6 to M9.
    pub certificates: f64,
    /// All of it.
    pub total: f64,
}

/// Where the server's time goes.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct ServerSeconds {
    /// M1 to M4.
    pub keys_and_shares: f64,
    /// Checking and adding masked vectors: M5.
    pub sum: f64,
    /// M6 to M8.
    pub certificates: f64,
    /// Reconstructing secrets and taking the masks off: M9.
    pub unmask: f64,
    /// All of it.
    pub total: f64,
}

/// Runs one attempt.
pub fn aggregation(arguments: &BenchAggregationArgs) -> Result<BenchAggregation, CommandError> {
    let federation = Federation::new(arguments)?;
    let threads =
        arguments.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().context("the threads")?;
    let begun = Instant::now();
    let mut server = ServerTime::default();
    let attempt = Attempt { federation: &federation, dropouts: arguments.dropouts };
    let (unmasked, clients) = pool.install(|| attempt.run(&mut server))?;
    let sum_is_right = federation.is_sum_of(&unmasked);
    Ok(report(&federation, arguments, threads, clients, server, begun.elapsed(), sum_is_right))
}

/// Processor time of the server's stages.
#[derive(Default)]
struct ServerTime {
    keys_and_shares: Duration,
    sum: Duration,
    certificates: Duration,
    unmask: Duration,
}

struct Attempt<'a> {
    federation: &'a Federation,
    dropouts: usize,
}

impl Attempt<'_> {
    fn run(&self, server: &mut ServerTime) -> Result<(Unmasked, Vec<Client>), CommandError> {
        let mut clients: Vec<Client> =
            (0..self.federation.identities.len()).map(|i| Client::new(MerchantIndex(i as u16))).collect();
        let (sharing, roster) = self.advertise(&mut clients, server)?;
        let (collecting, forwarded) = self.share(&mut clients, sharing, &roster, server)?;
        drop(roster);
        // Those at the end vanish here: their shares are dealt, their masks stay in everybody's vectors.
        clients.truncate(clients.len() - self.dropouts);
        let (certifying, survivors) = self.collect(&mut clients, collecting, forwarded, server)?;
        let (unmasking, certificate) = self.certify(&mut clients, certifying, &survivors, server)?;
        let unmasked = self.unmask(&mut clients, unmasking, &certificate, server)?;
        Ok((unmasked, clients))
    }

    fn advertise(
        &self,
        clients: &mut [Client],
        server: &mut ServerTime,
    ) -> Result<(server::Sharing, RoundRoster), CommandError> {
        let messages: Vec<_> = clients
            .par_iter_mut()
            .map(|client| (client.merchant, client.advertise(self.federation)))
            .collect();
        timed(&mut server.keys_and_shares, || {
            let mut advertising = Advertising::new(self.federation.facts.clone());
            for (from, message) in &messages {
                advertising.receive(*from, message).context("M1")?;
            }
            advertising.close().context("M2")
        })
    }

    fn share(
        &self,
        clients: &mut [Client],
        mut sharing: server::Sharing,
        roster: &RoundRoster,
        server: &mut ServerTime,
    ) -> Result<(Collecting, Vec<ForwardedShares>), CommandError> {
        let messages: Vec<_> = clients
            .par_iter_mut()
            .map(|client| Ok((client.merchant, client.share(self.federation, roster)?)))
            .collect::<Result<_, CommandError>>()?;
        timed(&mut server.keys_and_shares, || {
            for (from, message) in messages {
                sharing.receive(from, message).context("M3")?;
            }
            let (collecting, forwarded) = sharing.close().context("M4")?;
            Ok((collecting, forwarded.into_values().collect()))
        })
    }

    fn collect(
        &self,
        clients: &mut [Client],
        collecting: Collecting,
        forwarded: Vec<ForwardedShares>,
        server: &mut ServerTime,
    ) -> Result<(server::Certifying, Survivors), CommandError> {
        let collecting = Mutex::new((collecting, Duration::ZERO));
        clients.par_iter_mut().zip(forwarded).try_for_each(|(client, forwarded)| {
            let (header, update) = client.mask(self.federation, &forwarded)?;
            drop(forwarded);
            let mut collecting =
                collecting.lock().map_err(|_| CommandError::message("the server's sum is lost"))?;
            let (collecting, spent) = &mut *collecting;
            timed(spent, || collecting.receive(client.merchant, &header, update.bytes()).context("M5"))
        })?;
        let (collecting, spent) =
            collecting.into_inner().map_err(|_| CommandError::message("the server's sum is lost"))?;
        server.sum += spent;
        timed(&mut server.certificates, || collecting.close().context("M6"))
    }

    fn certify(
        &self,
        clients: &mut [Client],
        mut certifying: server::Certifying,
        survivors: &Survivors,
        server: &mut ServerTime,
    ) -> Result<(server::Unmasking, Certificate), CommandError> {
        let messages: Vec<_> = clients
            .par_iter_mut()
            .map(|client| Ok((client.merchant, client.certify(self.federation, survivors)?)))
            .collect::<Result<_, CommandError>>()?;
        timed(&mut server.certificates, || {
            for (from, message) in &messages {
                certifying.receive(*from, message).context("M7")?;
            }
            certifying.close().context("M8")
        })
    }

    fn unmask(
        &self,
        clients: &mut [Client],
        mut unmasking: server::Unmasking,
        certificate: &Certificate,
        server: &mut ServerTime,
    ) -> Result<Unmasked, CommandError> {
        let messages: Vec<_> = clients
            .par_iter_mut()
            .map(|client| Ok((client.merchant, client.unmask(self.federation, certificate)?)))
            .collect::<Result<_, CommandError>>()?;
        timed(&mut server.unmask, || {
            for (from, message) in &messages {
                // The server asks no further once it has enough.
                if unmasking.is_complete() {
                    break;
                }
                unmasking.receive(*from, message).context("M9")?;
            }
            unmasking.finish().context("the sum")
        })
    }
}

/// Adds the processor time of this thread to what was spent. Where the system does not tell, the time that passed.
fn timed<T>(spent: &mut Duration, work: impl FnOnce() -> T) -> T {
    let begun = thread_time();
    let done = work();
    *spent += thread_time().saturating_sub(begun);
    done
}

fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn report(
    federation: &Federation,
    arguments: &BenchAggregationArgs,
    threads: usize,
    clients: Vec<Client>,
    server: ServerTime,
    wall: Duration,
    sum_is_right: bool,
) -> BenchAggregation {
    let facts = &federation.facts;
    let secagg = &facts.secagg;
    let mean = |pick: fn(&Spent) -> Duration| {
        let all: Duration = clients.iter().map(|client| pick(&client.spent)).sum();
        all.as_secs_f64() / clients.len().max(1) as f64
    };
    let totals = clients.iter().map(|client| client.spent.total().as_secs_f64());
    let ServerTime { keys_and_shares, sum, certificates, unmask } = server;
    BenchAggregation {
        merchants: federation.identities.len(),
        parameters: facts.dimension,
        dropouts: arguments.dropouts,
        threads,
        mode: RoundMode::MaskedUnprotected.label(),
        colluders: secagg.colluders,
        threshold: secagg.threshold,
        survivors_min: secagg.survivors_min,
        holders: match secagg.graph {
            Graph::Complete => None,
            Graph::Sparse { holders, .. } => Some(holders),
        },
        vector_bytes: facts.vector_bytes(),
        shares_bytes: clients.first().map_or(0, |client| client.shares_bytes),
        client_seconds: ClientSeconds {
            quantise: mean(|spent| spent.quantise),
            keys_and_shares: mean(|spent| spent.keys_and_shares),
            mask: mean(|spent| spent.mask),
            certificates: mean(|spent| spent.certificates),
            total: mean(Spent::total),
        },
        client_seconds_max: totals.fold(0.0, f64::max),
        server_seconds: ServerSeconds {
            keys_and_shares: keys_and_shares.as_secs_f64(),
            sum: sum.as_secs_f64(),
            certificates: certificates.as_secs_f64(),
            unmask: unmask.as_secs_f64(),
            total: (keys_and_shares + sum + certificates + unmask).as_secs_f64(),
        },
        wall_seconds: wall.as_secs_f64(),
        peak_memory_bytes: Usage::of(std::process::id()).peak_memory_bytes,
        sum_is_right,
    }
}

impl fmt::Display for BenchAggregation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (client, server) = (&self.client_seconds, &self.server_seconds);
        let graph =
            self.holders.map_or_else(|| "everybody with everybody".into(), |k| format!("{k} holders each"));
        writeln!(
            f,
            "{} merchants x {} parameters, {} drop out after their shares; mode: {}",
            self.merchants, self.parameters, self.dropouts, self.mode
        )?;
        writeln!(
            f,
            "shares: {graph}; colluders {}, threshold {}, survivors at least {}",
            self.colluders, self.threshold, self.survivors_min
        )?;
        writeln!(
            f,
            "one client  {:.3} processor-seconds (at most {:.3}): quantise {:.3}, keys and shares {:.3}, mask {:.3}, certificates {:.3}",
            client.total,
            self.client_seconds_max,
            client.quantise,
            client.keys_and_shares,
            client.mask,
            client.certificates
        )?;
        writeln!(
            f,
            "server      {:.3} processor-seconds: keys and shares {:.3}, sum {:.3}, certificates {:.3}, unmask {:.3}",
            server.total, server.keys_and_shares, server.sum, server.certificates, server.unmask
        )?;
        writeln!(
            f,
            "up from one client  {} bytes of words, {} of shares",
            self.vector_bytes, self.shares_bytes
        )?;
        writeln!(
            f,
            "wall {:.1} s on {} thread(s), {:.0} MiB at most; the sum is {}",
            self.wall_seconds,
            self.threads,
            self.peak_memory_bytes as f64 / f64::from(1 << 20),
            if self.sum_is_right { "right" } else { "WRONG" }
        )
    }
}

/// The centred words of a sum of equal vectors.
fn times(vector: &RingVector, count: usize) -> Result<RingVector, CommandError> {
    let bytes = vector.to_bytes();
    let mut sum = vector.clone();
    (1..count).try_for_each(|_| sum.add_bytes(&bytes)).context("the expected sum")?;
    Ok(sum)
}
