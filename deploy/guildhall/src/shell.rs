//! The commands that run for long or change a federation: `server`, `join`, `client`, `serve`, `data`.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use guildhall_client::config::WhenFinished;
use guildhall_client::model::DeviceChoice;
use guildhall_client::{ClientConfig, JoinOptions};
use guildhall_server::{AdminCommand, AdminReply, InitOptions, RunOptions};
use serde::Serialize;
use serde_json::Value;

use crate::cli::{ClientArgs, DataCommand, JobCommand, JoinArgs, RosterCommand, ServeArgs, ServerCommand};
use crate::error::{CommandError, Context as _};
use crate::job_file::JobFile;
use crate::{data, output};

/// How events are printed on standard output.
#[derive(Clone, Copy)]
enum EventLines {
    /// One JSON object a line, for machines.
    Json,
    /// One line of words, for people.
    Words,
}

impl EventLines {
    fn new(json: bool) -> Self {
        if json { EventLines::Json } else { EventLines::Words }
    }

    fn print(self, event: &impl Serialize) {
        let Ok(value) = serde_json::to_value(event) else { return };
        let line = match self {
            EventLines::Json => value.to_string(),
            EventLines::Words => words(&value),
        };
        let mut out = std::io::stdout().lock();
        // Nobody reads any more: the work goes on all the same.
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }
}

/// "round settled: round 3, attempt 0, …"
fn words(event: &Value) -> String {
    let Value::Object(fields) = event else { return event.to_string() };
    let name = fields.get("event").and_then(Value::as_str).unwrap_or_default().replace('_', " ");
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Array(items) if items.len() > 8 => format!("{} of them", items.len()),
        other => other.to_string(),
    };
    let details: Vec<String> = fields
        .iter()
        .filter(|(key, _)| *key != "event")
        .map(|(key, value)| format!("{} {}", key.replace('_', " "), text(value)))
        .collect();
    if details.is_empty() { name } else { format!("{name}: {}", details.join(", ")) }
}

/// Ends on Ctrl-C and on SIGTERM.
async fn stop_signal() {
    let interrupt = tokio::signal::ctrl_c();
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! { _ = interrupt => (), _ = terminate.recv() => () },
        Err(_) => drop(interrupt.await),
    }
}

/// `guildhall server …`
pub fn server(dir: &Path, command: ServerCommand) -> Result<(), CommandError> {
    let command = match command {
        ServerCommand::Init { name, address } => {
            let summary =
                guildhall_server::init(dir, &InitOptions { name, address }).context(dir.display())?;
            println!("federation {} made in {}", summary.federation.short(), dir.display());
            println!("authority fingerprint {}", summary.authority);
            println!(
                "next: guildhall server invite NAME --dir {0}; guildhall server run --dir {0}",
                dir.display()
            );
            return Ok(());
        }
        ServerCommand::Run { events } => return run_server(dir, events),
        ServerCommand::Invite { merchant } => AdminCommand::Invite { merchant },
        ServerCommand::Roster { command: RosterCommand::Close } => AdminCommand::RosterClose,
        ServerCommand::Job { command: JobCommand::Submit { file } } => {
            AdminCommand::JobSubmit { spec: JobFile::read(&file, None)?.job }
        }
        ServerCommand::Versions => AdminCommand::Versions,
        ServerCommand::RollBack { version } => AdminCommand::RollBack { version },
        ServerCommand::Status => AdminCommand::Status,
    };
    match guildhall_server::admin(dir, command).context(dir.display())? {
        AdminReply::Refused(reason) => Err(CommandError::message(reason)),
        AdminReply::Invitation(text) => {
            println!("{text}");
            eprintln!(
                "hand this to the merchant over a channel you trust; it works once: guildhall join INVITATION"
            );
            Ok(())
        }
        reply => {
            println!("{}", serde_json::to_string_pretty(&reply).context("writing JSON")?);
            Ok(())
        }
    }
}

fn run_server(dir: &Path, events: bool) -> Result<(), CommandError> {
    let lines = EventLines::new(events);
    let runtime = tokio::runtime::Runtime::new().context("starting the runtime")?;
    let server =
        guildhall_server::run(dir, RunOptions::default(), move |event| lines.print(&event), stop_signal());
    runtime.block_on(server).context(dir.display())
}

/// `guildhall join`
pub fn join(arguments: JoinArgs) -> Result<(), CommandError> {
    let invitation = arguments.invitation.parse().context("the invitation")?;
    let options = JoinOptions {
        invitation,
        dir: arguments.dir,
        region: arguments.region,
        budget_epsilon: arguments.budget_epsilon,
        budget_delta: arguments.budget_delta,
        jobs: vec!["*".into()],
        allow_plain_mode: arguments.allow_plain_mode,
        allow_privacy_none: false,
        device: DeviceChoice::Auto,
        serve_address: SocketAddr::from(([127, 0, 0, 1], 0)),
        data_table: arguments.data.map(|path| data_table(&path)).transpose()?,
        exit_when_finished: false,
    };
    let runtime = tokio::runtime::Runtime::new().context("starting the runtime")?;
    let joined = runtime.block_on(guildhall_client::join(&options)).context("joining")?;
    println!("{} is enrolled; its identity is {:?}", joined.merchant, joined.identity);
    println!("next: look at {0}, then: guildhall client --config {0}", joined.config.display());
    Ok(())
}

/// The `[data]` table of a TOML file, without its header. Its path is meant from where the file lies, and made absolute:
/// in the client's folder it would mean something else.
fn data_table(path: &Path) -> Result<String, CommandError> {
    let text = std::fs::read_to_string(path).context(path.display())?;
    let mut table: toml::Table = text.parse().context(path.display())?;
    let Some(toml::Value::Table(mut data)) = table.remove("data") else {
        return Err(CommandError::message(format!(
            "{}: expected a [data] table; `guildhall data check` suggests one",
            path.display()
        )));
    };
    if let Some(toml::Value::String(rows)) = data.get_mut("path") {
        let whole = path.canonicalize().context(path.display())?;
        let rows_path = whole.parent().unwrap_or(Path::new("/")).join(&*rows);
        *rows = rows_path.canonicalize().context(rows_path.display())?.display().to_string();
    }
    toml::to_string(&data).context(path.display())
}

/// `guildhall client`
pub fn client(arguments: ClientArgs) -> Result<(), CommandError> {
    let mut config = ClientConfig::load(&arguments.config).context(arguments.config.display())?;
    if arguments.exit_when_finished {
        config.when_finished = WhenFinished::Exit;
    }
    let lines = EventLines::new(arguments.events);
    let runtime = tokio::runtime::Runtime::new().context("starting the runtime")?;
    let client = guildhall_client::run(config, move |event| lines.print(&event), stop_signal());
    runtime.block_on(client).context(arguments.config.display())
}

/// `guildhall serve`
pub fn serve(arguments: ServeArgs) -> Result<(), CommandError> {
    let config = ClientConfig::load(&arguments.config).context(arguments.config.display())?;
    let lines = EventLines::Words;
    let runtime = tokio::runtime::Runtime::new().context("starting the runtime")?;
    let service = guildhall_client::serve_only(config, move |event| lines.print(&event), stop_signal());
    runtime.block_on(service).context(arguments.config.display())
}

/// `guildhall data …`
pub fn data(command: DataCommand) -> Result<(), CommandError> {
    match command {
        DataCommand::Check { file, schema, json } => {
            let checked = data::check(&file, schema.as_deref()).context("data check")?;
            output::print(json, &checked, || checked.to_string())
        }
        DataCommand::Fetch { name, out } if name == "complete-journey" => {
            let fetched = data::fetch_complete_journey(&out).context("data fetch")?;
            output::print(false, &fetched, || format!("{fetched:#?}\n"))
        }
        DataCommand::Fetch { name, out } if name == "movielens" => {
            let fetched = data::fetch_movielens(&out).context("data fetch")?;
            output::print(false, &fetched, || format!("{fetched:#?}\n"))
        }
        DataCommand::Fetch { name, .. } => Err(CommandError::message(format!(
            "data fetch: expected complete-journey or movielens, found {name:?}"
        ))),
    }
}
