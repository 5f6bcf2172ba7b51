//! Requests over connections that are kept open, from one thread that never sleeps: a timer's grain would be measured too.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::Latency;

/// No answer takes longer than this.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a load was answered.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Loaded {
    /// How long answers took.
    #[serde(flatten)]
    pub latency: Latency,
    /// Requests a second that were wanted; none where they follow the answers.
    pub rate_wanted: Option<f64>,
    /// Answers.
    pub answers: usize,
    /// Answers with another status than 200.
    pub failed: usize,
}

/// Connections and what is asked on them.
pub struct Load<'q> {
    connections: Vec<Connection>,
    questions: &'q [Vec<u8>],
    asked: usize,
}

struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
    /// When the request under way was due.
    due: Option<Instant>,
}

/// What became of requests.
#[derive(Default)]
struct Tally {
    durations: Vec<Duration>,
    failed: usize,
}

impl<'q> Load<'q> {
    /// Connects.
    pub fn new(address: SocketAddr, connections: usize, questions: &'q [Vec<u8>]) -> io::Result<Self> {
        let connect = |_| {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            Ok(Connection { stream, received: vec![], due: None })
        };
        let connections = (0..connections).map(connect).collect::<io::Result<_>>()?;
        Ok(Load { connections, questions, asked: 0 })
    }

    /// So many requests a second, each measured from when it was due: one that waits for a connection is late.
    pub fn open_loop(&mut self, rate: f64, seconds: f64) -> io::Result<Loaded> {
        let total = (rate * seconds).round().max(1.0) as usize;
        let (start, mut tally) = (Instant::now(), Tally::default());
        let (mut scheduled, mut waiting) = (0, VecDeque::new());
        let mut heard = start;
        while tally.durations.len() < total {
            let now = Instant::now();
            while scheduled < total {
                let due = start + Duration::from_secs_f64(scheduled as f64 / rate);
                if due > now {
                    break;
                }
                waiting.push_back(due);
                scheduled += 1;
            }
            let before = tally.durations.len();
            self.receive(&mut tally)?;
            while let Some(connection) = self.connections.iter_mut().find(|c| c.due.is_none()) {
                let Some(due) = waiting.pop_front() else { break };
                connection.ask(&self.questions[self.asked % self.questions.len()], due)?;
                self.asked += 1;
            }
            let idle = self.connections.iter().all(|connection| connection.due.is_none());
            heard = still_there(heard, tally.durations.len() > before || idle)?;
        }
        Ok(tally.loaded(start.elapsed(), Some(rate)))
    }

    /// Every connection asks again as soon as it is answered.
    pub fn closed_loop(&mut self, seconds: f64) -> io::Result<Loaded> {
        let (start, mut tally) = (Instant::now(), Tally::default());
        let mut heard = start;
        loop {
            let over = start.elapsed().as_secs_f64() >= seconds;
            let before = tally.durations.len();
            self.receive(&mut tally)?;
            for connection in self.connections.iter_mut().filter(|c| c.due.is_none() && !over) {
                connection.ask(&self.questions[self.asked % self.questions.len()], Instant::now())?;
                self.asked += 1;
            }
            if over && self.connections.iter().all(|connection| connection.due.is_none()) {
                return Ok(tally.loaded(start.elapsed(), None));
            }
            heard = still_there(heard, tally.durations.len() > before)?;
        }
    }

    fn receive(&mut self, tally: &mut Tally) -> io::Result<()> {
        for connection in &mut self.connections {
            let Some(due) = connection.due else { continue };
            if let Some(is_good) = connection.answer()? {
                tally.durations.push(due.elapsed());
                tally.failed += usize::from(!is_good);
                connection.due = None;
            }
        }
        Ok(())
    }
}

/// When something was heard last; an error once that is too long ago.
fn still_there(heard: Instant, now_heard: bool) -> io::Result<Instant> {
    if now_heard {
        return Ok(Instant::now());
    }
    // The server may need this core.
    std::thread::yield_now();
    if heard.elapsed() > PATIENCE { Err(io::ErrorKind::TimedOut.into()) } else { Ok(heard) }
}

impl Tally {
    fn loaded(self, wall: Duration, rate_wanted: Option<f64>) -> Loaded {
        let (answers, failed) = (self.durations.len(), self.failed);
        Loaded { latency: Latency::of(self.durations, wall), rate_wanted, answers, failed }
    }
}

impl Connection {
    /// Requests are far smaller than a socket's buffer, so that they are written at once.
    fn ask(&mut self, question: &[u8], due: Instant) -> io::Result<()> {
        self.received.clear();
        self.due = Some(due);
        self.stream.write_all(question)
    }

    /// Whether the answer is a good one, once it is there.
    fn answer(&mut self) -> io::Result<Option<bool>> {
        let mut piece = [0; 16_384];
        match self.stream.read(&mut piece) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => self.received.extend(&piece[..read]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        }
        Ok(whole_answer(&self.received))
    }
}

/// Whether an answer is one with status 200; none while it is not whole.
fn whole_answer(bytes: &[u8]) -> Option<bool> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
    let whole = bytes.len() >= end + 4 + length.parse::<usize>().ok()?;
    whole.then(|| head.starts_with("HTTP/1.1 200"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_at_its_last_byte() {
        let good = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc";
        for cut in 0..good.len() {
            assert_eq!(whole_answer(&good[..cut]), None, "{cut}");
        }
        assert_eq!(whole_answer(good), Some(true));
        assert_eq!(whole_answer(b"HTTP/1.1 400 Bad\r\ncontent-length: 0\r\n\r\n"), Some(false));
    }
}
