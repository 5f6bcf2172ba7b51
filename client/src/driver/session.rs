//! One session: two readers fill the inbox, one loop empties it.

use std::pin::Pin;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use guildhall_shared::message::{ResultHeader, ServerMessage};
use tokio::sync::mpsc::{self, Sender};
use tokio::task::JoinSet;

use super::{Client, Sealed, fresh_nonce};
use crate::config::WhenFinished;
use crate::error::ClientError;
use crate::event::Event;
use crate::participant::Input;
use crate::serve::Vitals;
use crate::transport::{ControlReceiver, ControlSender, Link, ResultLimits, TransportError};

/// Messages that may wait for the participant; a peer that sends more waits itself.
const MESSAGES_MAX: usize = 8;

/// Where the participant's messages go.
pub(super) struct Wire {
    pub control: ControlSender,
    pub link: Link,
}

/// How a session ended.
pub(super) enum Ending {
    Shutdown,
    Finished,
    Lost(String),
}

/// What the readers received. A reader ends with its first error.
struct Inbox {
    messages: mpsc::Receiver<Result<ServerMessage, TransportError>>,
    /// One at a time: a result may be large, and the next is held back by flow control.
    results: mpsc::Receiver<Result<(ResultHeader, Vec<u8>), TransportError>>,
}

type SharedLimits = Arc<Mutex<Option<ResultLimits>>>;

impl Client {
    /// Runs one session to its end.
    pub(super) async fn session<S: Future<Output = ()>>(
        &mut self,
        link: Link,
        mut shutdown: Pin<&mut S>,
    ) -> Result<Ending, ClientError> {
        let (control, receiver) = match link.open_control().await {
            Ok(streams) => streams,
            Err(error) => return Ok(Ending::Lost(error.to_string())),
        };
        let (messages_in, messages) = mpsc::channel(MESSAGES_MAX);
        let (results_in, results) = mpsc::channel(1);
        let mut inbox = Inbox { messages, results };
        let limits = SharedLimits::default();
        let mut readers = JoinSet::new();
        readers.spawn(read_control(receiver, link.clone(), messages_in));
        readers.spawn(read_results(link.clone(), Arc::clone(&limits), results_in));
        self.hang_up = None;
        self.service.vitals().connected.store(1, Relaxed);
        Vitals::count(&self.service.vitals().sessions);
        self.tell(Event::Connected { server: self.config.server });
        let mut wire = Some(Wire { control, link: link.clone() });
        let mut ending =
            self.feed(Input::Connected { nonce: fresh_nonce()? }, &mut wire).await.map(|()| None);
        while let Ok(None) = ending {
            self.share_limits(&limits);
            ending = self.step(&mut inbox, &mut wire, shutdown.as_mut()).await;
        }
        readers.abort_all();
        self.service.vitals().connected.store(0, Relaxed);
        link.close("the client ends the session");
        let settled = self.feed(Input::Disconnected, &mut None).await;
        link.drained().await;
        let ending = ending?.unwrap_or(Ending::Lost(String::new()));
        settled.map(|()| ending)
    }

    /// Waits for whatever comes next and feeds it.
    async fn step<S: Future<Output = ()>>(
        &mut self,
        inbox: &mut Inbox,
        wire: &mut Option<Wire>,
        shutdown: Pin<&mut S>,
    ) -> Result<Option<Ending>, ClientError> {
        if self.halted {
            shutdown.await;
            return Ok(Some(Ending::Shutdown));
        }
        if let Some(reason) = self.hang_up.take() {
            return Ok(Some(Ending::Lost(reason)));
        }
        if self.finished && self.config.when_finished == WhenFinished::Exit {
            return Ok(Some(Ending::Finished));
        }
        let wake = sleep_until(self.wakes_ms.first().copied(), self.now_ms());
        tokio::select! {
            () = shutdown => return Ok(Some(Ending::Shutdown)),
            Some(message) = inbox.messages.recv() => match message {
                Ok(message) => self.feed(Input::Message(message), wire).await?,
                Err(error) => return Ok(Some(Ending::Lost(error.to_string()))),
            },
            Some(result) = inbox.results.recv() => match result {
                Ok((header, words)) => self.feed(Input::Result { header, words }, wire).await?,
                Err(error) => return Ok(Some(Ending::Lost(error.to_string()))),
            },
            Some(sealed) = self.sealed.recv() => self.sealed(sealed, wire).await?,
            () = wake => {
                let now_ms = self.now_ms();
                self.wakes_ms.retain(|at_ms| *at_ms > now_ms);
                self.feed(Input::Woke, wire).await?;
            }
        }
        Ok(None)
    }

    async fn sealed(&mut self, sealed: Sealed, wire: &mut Option<Wire>) -> Result<(), ClientError> {
        let Sealed { sid, update } = sealed;
        let input = match update {
            Ok(update) => {
                self.books.keep(sid, update);
                Input::Trained { sid }
            }
            Err(reason) => Input::Impossible { sid, reason },
        };
        self.feed(input, wire).await?;
        // Not committed by now: its attempt is over.
        self.books.forget_sealed();
        Ok(())
    }

    fn share_limits(&self, limits: &SharedLimits) {
        let now = self.with_participant(|participant| participant.result_limits());
        let now = now.map(|(merchants, vector_bytes)| ResultLimits { merchants, vector_bytes });
        *limits.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
}

/// Pending for ever where there is nothing to wait for.
async fn sleep_until(at_ms: Option<u64>, now_ms: u64) {
    match at_ms {
        Some(at_ms) => tokio::time::sleep(Duration::from_millis(at_ms.saturating_sub(now_ms))).await,
        None => std::future::pending().await,
    }
}

async fn read_control(
    mut receiver: ControlReceiver,
    link: Link,
    inbox: Sender<Result<ServerMessage, TransportError>>,
) {
    loop {
        let message = receiver.next(&link).await;
        let over = message.is_err();
        if inbox.send(message).await.is_err() || over {
            return;
        }
    }
}

async fn read_results(
    link: Link,
    limits: SharedLimits,
    inbox: Sender<Result<(ResultHeader, Vec<u8>), TransportError>>,
) {
    loop {
        let limits = || *limits.lock().unwrap_or_else(PoisonError::into_inner);
        let result = link.next_result(limits).await;
        let over = result.is_err();
        if inbox.send(result).await.is_err() || over {
            return;
        }
    }
}
