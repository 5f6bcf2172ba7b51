//! `guildhall bench serve`: how fast recommendations are, from invented vectors: the exact index inside the process, and the
//! whole service over HTTP on loopback.
//!
//! The service has one thread. The load comes from another one, which waits actively: on a machine with one core the two
//! disturb each other.

mod load;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use guildhall_client::config::Budget;
use guildhall_client::data::observations::ShopperKey;
use guildhall_client::serve::ranker::{DotRanker, Eligible, Ranker};
use guildhall_client::serve::top_k::{DotIndex, Precision, Scored, best_of_scores};
use guildhall_client::serve::{Listening, ServedModel, Service};
use guildhall_shared::catalogue::Catalogue;
use guildhall_shared::digest::Digest;
use guildhall_shared::model_state::ModelState;
use serde::Serialize;

use super::{Dummy, NO_PRIVACY};
use crate::cli::BenchServeArgs;
use crate::error::{CommandError, Context as _};
use load::{Load, Loaded};

/// Items of every invented history.
const HISTORY: usize = 20;
/// Invented shoppers.
const SHOPPERS: usize = 1_000;
/// Queries whose answers are compared.
const COMPARED: usize = 200;

/// What `bench serve` prints with `--json`.
#[derive(Debug, Serialize)]
pub struct BenchServe {
    /// N.
    pub items: usize,
    /// d.
    pub dim: usize,
    /// Items of an answer.
    pub k: usize,
    /// The exact answer to a history, inside the process, in one thread.
    pub in_process: Latency,
    /// The same by codes alone.
    pub in_process_int8: Latency,
    /// The same by computing every score.
    pub in_process_full_scan: Latency,
    /// Whether the exact answers are those of the full scan, bit for bit.
    pub exact_is_exact: bool,
    /// Share of the exact answer's items that codes alone find.
    pub recall_int8: f64,
    /// Over HTTP, requests sent on schedule, each measured from when it was due.
    pub http: Loaded,
    /// Over HTTP, every connection asking again as soon as it is answered.
    pub http_closed_loop: Loaded,
}

impl BenchServe {
    /// Whether every answer came, and the exact ones are exact.
    pub fn is_right(&self) -> bool {
        self.exact_is_exact && self.http.failed + self.http_closed_loop.failed == 0
    }
}

/// Quantiles of durations.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Latency {
    /// Median.
    pub p50_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// The longest.
    pub max_us: f64,
    /// How many a second.
    pub requests_per_second: f64,
}

impl Latency {
    /// Of what took this long, all together `wall`.
    pub fn of(mut durations: Vec<Duration>, wall: Duration) -> Self {
        durations.sort_unstable();
        let microseconds = |index: usize| durations.get(index).map_or(0.0, |d| d.as_secs_f64() * 1e6);
        let count = durations.len();
        let rank = |share: f64| ((count as f64 * share).ceil() as usize).saturating_sub(1);
        Latency {
            p50_us: microseconds(rank(0.5)),
            p99_us: microseconds(rank(0.99)),
            max_us: microseconds(count.saturating_sub(1)),
            requests_per_second: count as f64 / wall.as_secs_f64().max(1e-9),
        }
    }
}

/// A fixed sequence of numbers, roughly normal.
struct Invented(u64);

impl Invented {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn number(&mut self) -> f32 {
        let unit = |bits: u64| bits as f32 / (1u64 << 31) as f32;
        (0..4).map(|_| unit(self.bits())).sum::<f32>() - 2.0
    }

    fn history(&mut self, items: usize) -> Vec<u32> {
        (0..HISTORY).map(|_| (self.bits() % items as u64) as u32).collect()
    }
}

/// The mean of a history's vectors.
fn mean(vectors: &[f32], dim: usize, history: &[u32], out: &mut [f32]) {
    out.fill(0.0);
    for item in history {
        let start = *item as usize * dim;
        out.iter_mut().zip(&vectors[start..start + dim]).for_each(|(sum, value)| *sum += value);
    }
    out.iter_mut().for_each(|sum| *sum /= history.len().max(1) as f32);
}

fn ranker(vectors: &Arc<Vec<f32>>, dim: usize, precision: Precision) -> Result<DotRanker, CommandError> {
    let index = DotIndex::new(vectors.to_vec(), dim, precision).context("the vectors")?;
    let vectors = Arc::clone(vectors);
    let encoder = move |history: &[u32], out: &mut [f32]| mean(&vectors, dim, history, out);
    DotRanker::new(index, Box::new(encoder), vec![]).context("the ranker")
}

/// Runs all of it.
pub fn serve(arguments: &BenchServeArgs) -> Result<BenchServe, CommandError> {
    let BenchServeArgs { items, dim, k, .. } = *arguments;
    check(arguments)?;
    let mut invented = Invented(17);
    let vectors: Arc<Vec<f32>> = Arc::new((0..items * dim).map(|_| invented.number()).collect());
    let histories: Vec<Vec<u32>> = (0..SHOPPERS).map(|_| invented.history(items)).collect();
    let exact = ranker(&vectors, dim, Precision::Exact)?;
    let int8 = ranker(&vectors, dim, Precision::Int8)?;
    let full_scan = |history: &[u32], k: usize, eligible: Eligible<'_>| {
        let mut scores = vec![0.0; items];
        exact.scores(history, &mut scores);
        best_of_scores(&scores, k, |item| eligible.allows(item))
    };
    let (exact_is_exact, recall_int8) = compare(&exact, &int8, full_scan, &histories, k);
    let by =
        |ranker: &DotRanker| measure(&histories, |history, eligible| ranker.top(history, k, eligible).items);
    let (in_process, in_process_int8) = (by(&exact), by(&int8));
    let in_process_full_scan = measure(&histories, |history, eligible| full_scan(history, k, eligible));
    let service = service(exact, items, histories)?;
    let (http, http_closed_loop) = over_http(service, arguments)?;
    Ok(BenchServe {
        items,
        dim,
        k,
        in_process,
        in_process_int8,
        in_process_full_scan,
        exact_is_exact,
        recall_int8,
        http,
        http_closed_loop,
    })
}

fn check(arguments: &BenchServeArgs) -> Result<(), CommandError> {
    let wrong = |what: &str, expected: &str| {
        Err(CommandError::message(format!("bench serve: {what}: expected {expected}")))
    };
    let in_range = |value: usize, most: usize| (1..=most).contains(&value);
    match arguments {
        a if !in_range(a.items, 200_000) => wrong("--items", "1 to 200000"),
        a if !in_range(a.dim, 4_096) => wrong("--dim", "1 to 4096"),
        a if !in_range(a.k, 1_000) => wrong("--k", "1 to 1000"),
        a if !in_range(a.rate as usize, 1_000_000) => wrong("--rate", "1 to 1000000"),
        a if !in_range(a.connections, 1_000) => wrong("--connections", "1 to 1000"),
        a if !(a.seconds > 0.0 && a.seconds <= 600.0) => wrong("--seconds", "a number in (0, 600]"),
        _ => Ok(()),
    }
}

/// Whether exact answers are those of the full scan, and how many of their items codes alone find.
fn compare(
    exact: &DotRanker,
    int8: &DotRanker,
    full_scan: impl Fn(&[u32], usize, Eligible<'_>) -> Vec<Scored>,
    histories: &[Vec<u32>],
    k: usize,
) -> (bool, f64) {
    let (mut equal, mut found, mut wanted) = (true, 0, 0);
    for history in histories.iter().take(COMPARED) {
        let right = exact.top(history, k, Eligible::ALL).items;
        equal &= right == full_scan(history, k, Eligible::ALL);
        let near = int8.top(history, k, Eligible::ALL).items;
        wanted += right.len();
        found += right.iter().filter(|item| near.iter().any(|other| other.item == item.item)).count();
    }
    (equal, found as f64 / wanted.max(1) as f64)
}

/// One answer after the other, for about a second, what was seen left out.
fn measure(histories: &[Vec<u32>], answer: impl Fn(&[u32], Eligible<'_>) -> Vec<Scored>) -> Latency {
    let seen: Vec<Vec<u32>> = histories
        .iter()
        .map(|history| {
            let mut seen = history.clone();
            seen.sort_unstable();
            seen
        })
        .collect();
    let ask = |place: usize| {
        let eligible = Eligible { excluded: &seen[place], filter: None };
        std::hint::black_box(answer(&histories[place], eligible));
    };
    let warm_up = Instant::now();
    (0..)
        .take_while(|_| warm_up.elapsed() < Duration::from_millis(200))
        .for_each(|n| ask(n % histories.len()));
    let (start, mut durations) = (Instant::now(), vec![]);
    while start.elapsed() < Duration::from_secs(1) && durations.len() < 100_000 {
        let begun = Instant::now();
        ask(durations.len() % histories.len());
        durations.push(begun.elapsed());
    }
    Latency::of(durations, start.elapsed())
}

/// A service whose shoppers have the invented histories.
fn service(ranker: DotRanker, items: usize, histories: Vec<Vec<u32>>) -> Result<Service, CommandError> {
    let job = Dummy {
        parameters: 1,
        rounds: 1,
        merchants: 10,
        quorum: 10,
        deadline_ms: 1_000,
        privacy: NO_PRIVACY,
        aggregation: "masked",
    };
    let job = Arc::new(job.job()?);
    let catalogue = Catalogue::of_items((0..items).map(|item| format!("item-{item}")).collect());
    let model = ServedModel::new(&job, "invented vectors", 1, Digest([0; 32]), &ModelState::initial(&job));
    let model = model.with_ranker(Arc::new(ranker), catalogue.clone()).context("the ranker")?;
    let service = Service::new(Budget { epsilon: 1.0, delta: 1e-6 });
    service.publish(model);
    let by_key: BTreeMap<ShopperKey, Vec<u32>> = histories
        .into_iter()
        .enumerate()
        .map(|(shopper, history)| (ShopperKey::of_id(&format!("shopper-{shopper}")), history))
        .collect();
    service.set_histories(catalogue, by_key);
    Ok(service)
}

/// The open and the closed loop, against a server in a thread of its own.
fn over_http(service: Service, arguments: &BenchServeArgs) -> Result<(Loaded, Loaded), CommandError> {
    let (tell, told) = mpsc::channel::<Result<SocketAddr, CommandError>>();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async move {
            let address = SocketAddr::from(([127, 0, 0, 1], 0));
            match Listening::start(Arc::new(service), address).await.context("the service") {
                Ok(listening) => {
                    let _ = tell.send(Ok(listening.address));
                    let _ = stopped.await;
                    listening.stop().await;
                }
                Err(error) => drop(tell.send(Err(error))),
            }
        });
    });
    let address = told.recv().unwrap_or_else(|_| Err(CommandError::message("the service did not start")))?;
    let questions: Vec<Vec<u8>> = (0..SHOPPERS).map(|shopper| question(shopper, arguments.k)).collect();
    let mut load = Load::new(address, arguments.connections, &questions).context("connecting")?;
    load.open_loop(f64::from(arguments.rate), 0.5).context("the warm-up")?;
    let open = load.open_loop(f64::from(arguments.rate), arguments.seconds).context("the open loop")?;
    let closed = load.closed_loop(arguments.seconds).context("the closed loop")?;
    drop(load);
    let _ = stop.send(());
    let _ = server.join();
    Ok((open, closed))
}

/// A whole request, head and body.
fn question(shopper: usize, k: usize) -> Vec<u8> {
    let body = format!("{{\"shopper\":\"shopper-{shopper}\",\"k\":{k}}}");
    let length = body.len();
    format!(
        "POST /v1/recommend HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

impl fmt::Display for BenchServe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |f: &mut fmt::Formatter<'_>, name: &str, latency: &Latency| {
            writeln!(
                f,
                "{name:<26} p50 {:>9.1} us  p99 {:>9.1} us  max {:>9.1} us  {:>9.0} a second",
                latency.p50_us, latency.p99_us, latency.max_us, latency.requests_per_second
            )
        };
        writeln!(f, "{} items x {}, {} in an answer", self.items, self.dim, self.k)?;
        line(f, "in process, exact", &self.in_process)?;
        line(f, "in process, int8", &self.in_process_int8)?;
        line(f, "in process, full scan", &self.in_process_full_scan)?;
        line(f, "HTTP, on schedule", &self.http.latency)?;
        line(f, "HTTP, as fast as it goes", &self.http_closed_loop.latency)?;
        writeln!(
            f,
            "exact answers are {}; int8 alone finds {:.4} of them; {} of {} HTTP answers failed",
            if self.exact_is_exact { "those of the full scan, bit for bit" } else { "WRONG" },
            self.recall_int8,
            self.http.failed + self.http_closed_loop.failed,
            self.http.answers + self.http_closed_loop.answers
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_ranks() {
        let durations = (1..=100).rev().map(Duration::from_micros).collect();
        let latency = Latency::of(durations, Duration::from_secs(1));
        let found = [latency.p50_us, latency.p99_us, latency.max_us].map(|us| us.round());
        assert_eq!((found, latency.requests_per_second.round()), ([50.0, 99.0, 100.0], 100.0));
        assert_eq!(Latency::of(vec![], Duration::ZERO).p99_us, 0.0);
    }

    #[test]
    fn a_small_service_answers_all_of_a_short_load() {
        let arguments =
            BenchServeArgs { items: 300, dim: 8, k: 5, rate: 200, seconds: 0.2, connections: 3, json: false };
        let result = serve(&arguments).unwrap();
        assert!(result.exact_is_exact);
        assert!(result.recall_int8 > 0.8 && result.recall_int8 <= 1.0);
        assert_eq!((result.http.failed, result.http_closed_loop.failed), (0, 0));
        assert_eq!(result.http.answers, 40);
        assert!(result.http_closed_loop.answers > 0);
        assert!(serve(&BenchServeArgs { items: 0, ..arguments }).is_err());
    }
}
