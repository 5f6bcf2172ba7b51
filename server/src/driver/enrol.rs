//! An enrolment connection: one request, one answer. Anybody may connect, so all of it is bounded and paced.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use guildhall_shared::message::{EnrolReply, EnrolmentMessage};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until, timeout};

use super::Shared;
use super::hub::{self, ToHub};
use super::inbound::{self, Pace};
use crate::transport::{Connection, Writer};

/// Enrolments in progress at once.
const PLACES: usize = 32;
/// At most one request per this time reaches the hub.
const SPACING: Duration = Duration::from_millis(50);
/// A whole enrolment takes no longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Bounds how many enrol at once, and how fast.
pub struct Gate {
    places: Semaphore,
    next: Mutex<Instant>,
}

impl Default for Gate {
    fn default() -> Self {
        Gate { places: Semaphore::new(PLACES), next: Mutex::new(Instant::now()) }
    }
}

impl Gate {
    fn turn(&self) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = (*next).max(Instant::now());
        *next = turn + SPACING;
        turn
    }
}

/// Serves one connection.
pub async fn serve(shared: Arc<Shared>, connection: Connection, gate: Arc<Gate>) {
    let Ok(_place) = gate.places.try_acquire() else {
        return connection.close("too many enrolments at once: try again in a moment");
    };
    match timeout(PATIENCE, exchange(&shared, &connection, &gate)).await {
        Ok(Ok(())) => connection.close("enrolment is over"),
        Ok(Err(reason)) => {
            shared.events.refused(connection.address(), format!("enrolment: {reason}"));
            connection.close(&reason);
        }
        Err(_) => {
            shared.events.refused(connection.address(), "enrolment: expected a request in time, found none");
            connection.close("too slow");
        }
    }
}

async fn exchange(shared: &Shared, connection: &Connection, gate: &Gate) -> Result<(), String> {
    let (mut reader, mut writer) = connection.accept_control().await.map_err(|e| e.to_string())?;
    let pace = Pace::of(&shared.limits);
    let message = inbound::next_message(&mut reader, &pace, EnrolmentMessage::limit).await;
    let (header, body) = message.map_err(|e| e.to_string())?.ok_or("expected a request, found none")?;
    let request = match EnrolmentMessage::from_body(&header, &body).map_err(|e| e.to_string())? {
        EnrolmentMessage::EnrolRequest(request) => Box::new(request),
        other => return Err(format!("expected EnrolRequest, found {}", other.name())),
    };
    sleep_until(gate.turn()).await;
    let peer = connection.address();
    let reply = hub::ask(&shared.hub, |reply| ToHub::Enrol { peer, request, reply }).await;
    let reply = reply.unwrap_or_else(|| EnrolReply::Refused("the server is stopping: try again".into()));
    answer(&mut writer, reply).await
}

async fn answer(writer: &mut Writer, reply: EnrolReply) -> Result<(), String> {
    let frame = EnrolmentMessage::from(reply).to_frame().map_err(|e| e.to_string())?;
    writer.write(&frame).await.map_err(|e| e.to_string())?;
    writer.finish();
    writer.delivered().await;
    Ok(())
}
