//! A scripted server and a scripted shell around the participant: every rule of the module's head has a test here.

pub(crate) mod harness;
mod masked;
pub(crate) mod masked_round;
mod offers;
mod order;
mod plain;
mod properties;
mod records;
pub(crate) mod server;
mod session;
mod witnesses;

use super::*;
use guildhall_shared::id::RoundId;
use harness::{Shell, job, masked_job, standing};
use masked_round::MaskedRound;
use server::Server;

fn round(round: u32, attempt: u32) -> RoundId {
    RoundId { round, attempt }
}

/// A shell whose participant is ready at version 0 of a server's job.
fn ready_for(server: Server) -> (Server, Shell) {
    let mut shell = Shell::new(&server);
    shell.connect();
    shell.hear(server.welcome()).unwrap();
    shell.hear(server.announcement()).unwrap();
    (server, shell)
}

/// … of a job in plain mode.
fn ready() -> (Server, Shell) {
    ready_for(Server::new(job()))
}

/// … and has accepted the offer of (0, 0).
fn accepted() -> (Server, Shell, Offer) {
    let (server, mut shell) = ready();
    let offer = server.offer(round(0, 0));
    shell.hear(offer.clone()).unwrap();
    (server, shell, offer)
}

/// A client that has advertised in a masked job, in an attempt of an honest server.
fn advertised() -> (Server, Shell, Offer, MaskedRound) {
    let (server, mut shell) = ready_for(Server::new(masked_job()));
    let (offer, attempt) = offer(&server, &mut shell, round(0, 0));
    (server, shell, offer, attempt)
}

fn offer(server: &Server, shell: &mut Shell, at: RoundId) -> (Offer, MaskedRound) {
    let offer = server.offer(at);
    shell.hear(offer.clone()).unwrap();
    let attempt = MaskedRound::open(server, &offer);
    (offer, attempt)
}

/// Says the next messages of an honest server, so many.
fn go_on(attempt: &mut MaskedRound, shell: &mut Shell, messages: usize) {
    for _ in 0..messages {
        let message = attempt.next(shell).unwrap();
        shell.hear(message).unwrap();
        shell.wake_at(shell.now_ms + 1_000);
    }
}
