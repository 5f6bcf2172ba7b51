//! A running server against a minimal client made of raw QUIC, TLS and frames: good rounds, bad peers, restarts.

mod bench;
mod masked;
mod raw_client;

mod refusals;
mod rounds;
