//! One merchant's session: its certificate, its first message, then control messages, uploads and answers side by side.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use guildhall_shared::frame::HEADER_BYTES;
use guildhall_shared::id::Name;
use guildhall_shared::message::{ClientMessage, Hello, Receipt, Refusal, ServerMessage, Verdict};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Shared;
use super::hub::ToHub;
use super::inbound::{self, Pace};
use super::outgoing::{OUTBOX, Outgoing, Sender};
use super::upload::{self, UploadError};
use crate::transport::{Connection, Reader, Writer};

/// From the handshake to the first message.
const HELLO_PATIENCE: Duration = Duration::from_secs(10);

/// Serves one connection until it ends.
pub async fn serve(shared: Arc<Shared>, connection: Connection) {
    let merchant = match identify(&shared, &connection) {
        Ok(merchant) => merchant,
        Err(reason) => {
            shared.events.refused(connection.address(), &reason);
            return connection.close(&reason);
        }
    };
    let opened = timeout(HELLO_PATIENCE, open(&shared, &connection)).await;
    let (hello, reader, writer) = match opened {
        Ok(Ok(opened)) => opened,
        Ok(Err(reason)) => {
            shared.events.refused(&merchant, &reason);
            return connection.close(&reason);
        }
        Err(_) => {
            let reason = "expected a Hello within ten seconds, found none";
            shared.events.refused(&merchant, reason);
            return connection.close(reason);
        }
    };
    let session = shared.sessions.fetch_add(1, Ordering::Relaxed);
    let (outbox, queue) = mpsc::channel(OUTBOX);
    let joined = ToHub::Joined {
        session,
        merchant: merchant.clone(),
        hello,
        outbox: outbox.clone(),
        connection: connection.clone(),
    };
    if shared.hub.send(joined).await.is_err() {
        return;
    }
    let sender = Sender::new(Arc::clone(&shared), connection.clone(), writer, queue);
    let reason = tokio::select! {
        () = connection.closed() => None,
        reason = control_loop(&shared, session, reader) => reason,
        reason = upload_loop(&shared, session, &merchant, &connection, &outbox) => reason,
        sent = sender.run() => sent.err().map(|error| error.to_string()),
    };
    if let Some(reason) = &reason {
        shared.events.refused(&merchant, reason);
    }
    connection.close(reason.as_deref().unwrap_or("the session is over"));
    // Fails only when the server stops.
    let _ = shared.hub.send(ToHub::Left { session }).await;
}

fn identify(shared: &Shared, connection: &Connection) -> Result<Name, String> {
    let certificate = connection.certificate().ok_or(
        "expected a certificate of an enrolled merchant, found none: enrol with an invitation first",
    )?;
    match shared.federation.records.merchant_by_certificate(&certificate) {
        Ok(Some(merchant)) => Ok(merchant.name),
        Ok(None) => Err(format!(
            "expected a certificate of an enrolled merchant, found an unknown one (SHA-256 {certificate})"
        )),
        Err(error) => Err(error.to_string()),
    }
}

async fn open(shared: &Shared, connection: &Connection) -> Result<(Hello, Reader, Writer), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let (mut reader, mut writer) = connection.accept_control().await.map_err(|e| text(&e))?;
    let first = next_message(shared, &mut reader).await;
    let reason = match first {
        Ok(Some(ClientMessage::Hello(hello))) if hello.federation == shared.federation.id => {
            return Ok((hello, reader, writer));
        }
        Ok(Some(ClientMessage::Hello(hello))) => {
            format!(
                "expected a member of federation {}, found one of {}",
                shared.federation.id, hello.federation
            )
        }
        Ok(Some(other)) => format!("expected Hello as the first message, found {}", other.name()),
        Ok(None) => "expected Hello, found the end of the stream".into(),
        Err(reason) => reason,
    };
    refuse(&mut writer, &reason).await;
    Err(reason)
}

/// Tells a peer why its session ends. It may not listen any more: that is its loss.
async fn refuse(writer: &mut Writer, reason: &str) {
    let refusal = ServerMessage::from(Refusal { reason: reason.to_owned() });
    let Ok(frame) = refusal.to_frame() else { return };
    let say = async {
        if writer.write(&frame).await.is_ok() {
            writer.finish();
            writer.delivered().await;
        }
    };
    let _ = timeout(Duration::from_secs(1), say).await;
}

async fn next_message(shared: &Shared, reader: &mut Reader) -> Result<Option<ClientMessage>, String> {
    let pace = Pace::of(&shared.limits);
    let message =
        inbound::next_message(reader, &pace, ClientMessage::limit).await.map_err(|e| e.to_string())?;
    let Some((header, body)) = message else { return Ok(None) };
    shared.traffic.add_up(HEADER_BYTES + body.len());
    ClientMessage::from_body(&header, &body).map(Some).map_err(|e| e.to_string())
}

/// Passes control messages on. A stream whose framing is broken cannot be read any further: the session ends.
async fn control_loop(shared: &Shared, session: u64, mut reader: Reader) -> Option<String> {
    loop {
        match next_message(shared, &mut reader).await {
            Ok(Some(message)) => shared.hub.send(ToHub::Message { session, message }).await.ok()?,
            Ok(None) => return None,
            Err(reason) => return Some(reason),
        }
    }
}

/// Receives updates one after the other. A refused one costs its sender only that update.
async fn upload_loop(
    shared: &Shared,
    session: u64,
    merchant: &Name,
    connection: &Connection,
    outbox: &mpsc::Sender<Outgoing>,
) -> Option<String> {
    let mut refusals = 0;
    loop {
        let mut reader = connection.accept_vector().await.ok()?;
        let error = match upload::receive(shared, merchant, &mut reader).await {
            Ok(upload) => {
                shared.hub.send(ToHub::Update { session, upload }).await.ok()?;
                continue;
            }
            Err(error) => error,
        };
        reader.stop();
        shared.events.refused(merchant, &error);
        if let UploadError::Session { found, .. } = &error {
            let receipt = Receipt { sid: *found, verdict: Verdict::Refused(error.to_string()) };
            outbox.send(Outgoing::Control(Box::new(receipt.into()))).await.ok()?;
        }
        refusals += 1;
        if refusals >= shared.limits.refusals_per_session {
            return Some(format!("expected fewer than {refusals} bad updates in a session"));
        }
    }
}
