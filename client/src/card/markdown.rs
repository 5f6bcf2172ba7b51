//! A card as Markdown. [core]

use std::fmt::{self, Write as _};

use super::{CardCopy, CardFigures, CardImportance, CardModel, CardPrivacy, ModelCard, Origin};
use crate::model_store::FineTunedCopy;

/// h above which ε against all others together is large.
const HONEST_SHARES_LARGE: u64 = 10;

/// Inputs named one by one; of more, these and how many there are beside.
const INPUTS_SHOWN: usize = 60;

pub(super) fn write(card: &ModelCard) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = sections(card, &mut text);
    text
}

fn sections(card: &ModelCard, out: &mut String) -> fmt::Result {
    model(&card.model, out)?;
    writeln!(out, "\n## Purpose\n\n{}\n\n## Data\n\n{}", line(&card.purpose), line(&card.data))?;
    privacy(&card.privacy, card.fine_tuned.as_ref(), out)?;
    writeln!(out, "\n## Figures")?;
    if card.figures.is_empty() {
        writeln!(
            out,
            "\nNone here. Metrics leave a merchant only as charged, noised sums; each merchant measures its own."
        )?;
    }
    card.figures.iter().try_for_each(|of| figures(of, out))?;
    if let Some(found) = &card.importance {
        importance(found, out)?;
    }
    list("Intended use", &card.intended_use, out)?;
    list("Limits", &card.limits, out)?;
    list("Sources", &card.sources, out)
}

fn model(model: &CardModel, out: &mut String) -> fmt::Result {
    writeln!(out, "# Model card: {}\n", line(&model.job))?;
    writeln!(out, "{}\n", line(&model.question))?;
    writeln!(out, "- Model: {}, {} parameters", line(&model.family), model.parameters)?;
    writeln!(out, "- Rounds of the job: {}", model.rounds)?;
    if let Some((version, hash)) = &model.version {
        writeln!(out, "- Version: {version}, model hash `{}`", line(hash))?;
    }
    writeln!(out, "- Job digest: `{}`", model.job_digest)?;
    let shown: Vec<String> = model.inputs.iter().take(INPUTS_SHOWN).map(|name| line(name)).collect();
    write!(out, "- Answers from: {}", if shown.is_empty() { "nothing".into() } else { shown.join("; ") })?;
    match model.inputs.len().saturating_sub(INPUTS_SHOWN) {
        0 => writeln!(out),
        more => writeln!(out, "; and {more} more"),
    }
}

fn privacy(privacy: &CardPrivacy, copy: Option<&CardCopy>, out: &mut String) -> fmt::Result {
    writeln!(out, "\n## Privacy\n")?;
    if let Some(CardCopy { epochs, hash }) = copy {
        let label = FineTunedCopy::LABEL;
        writeln!(
            out,
            "**A copy, {label}.** {epochs} epochs, hash `{}`. No ε holds for it, and it does not leave the merchant. All below is \
             of the released version it was made of.\n",
            line(hash)
        )?;
    }
    writeln!(out, "**{}**\n", line(&privacy.label))?;
    writeln!(out, "- Unit: {}; compared: {}", privacy.unit, privacy.adjacency)?;
    match (privacy.epsilon, privacy.delta) {
        (Some(epsilon), Some(delta)) => {
            writeln!(out, "- ε = {epsilon} at δ = {delta:e}, over everything the job releases")?;
        }
        _ => writeln!(out, "- No ε: nothing was noised")?,
    }
    writeln!(out, "- Holds against: {}", privacy.adversary)?;
    if let Some(epsilon) = privacy.epsilon_if_all_others_collude {
        let large = if privacy.honest_shares.is_some_and(|h| h > HONEST_SHARES_LARGE) {
            " (large: each merchant adds a small part of the noise, so against all others together it protects little)"
        } else {
            ""
        };
        writeln!(out, "- If all other merchants collude with the server: ε = {:.2}{large}", up(epsilon))?;
    }
    for (merchants, epsilon) in &privacy.epsilon_by_merchants {
        let plural = if *merchants == 1 { "" } else { "s" };
        writeln!(out, "- For a shopper known to {merchants} merchant{plural}: ε = {:.2}", up(*epsilon))?;
    }
    if let Some(epsilon) = privacy.epsilon_spent {
        writeln!(out, "- Spent according to this merchant's ledger, all attempts: ε = {:.2}", up(epsilon))?;
    }
    Ok(())
}

fn figures(of: &CardFigures, out: &mut String) -> fmt::Result {
    writeln!(out, "\n**{}** ({}; {})\n", line(&of.of), line(&of.protocol), origin(of.origin))?;
    writeln!(out, "| figure | value | 95 % |\n| --- | --- | --- |")?;
    for figure in &of.figures {
        let interval =
            figure.interval.map(|(low, high)| format!("{low:.4} to {high:.4}")).unwrap_or_default();
        writeln!(out, "| {} | {:.4} | {interval} |", cell(&figure.name), figure.value)?;
    }
    Ok(())
}

/// Rounded up to what is printed: never less loss than was computed.
fn up(epsilon: f64) -> f64 {
    (epsilon * 100.0).ceil() / 100.0
}

fn importance(importance: &CardImportance, out: &mut String) -> fmt::Result {
    writeln!(
        out,
        "\n## What it leans on\n\n{} ({})\n",
        line(&importance.measure),
        origin(importance.origin)
    )?;
    writeln!(out, "| input | importance |\n| --- | --- |")?;
    importance.players.iter().try_for_each(|(name, value)| writeln!(out, "| {} | {value:.4} |", cell(name)))
}

fn origin(origin: Origin) -> String {
    match origin {
        Origin::OwnRows => "from this merchant's own rows: for its eyes only".into(),
        Origin::Released { epsilon, delta } => {
            format!("from a noised sum, charged ε = {epsilon} at δ = {delta:e} beside the job's own")
        }
        Origin::ReleasedWithoutNoise => {
            "from a sum without noise, which the federation knows: for nobody outside of it".into()
        }
        Origin::Public => "from public data or the released model alone".into(),
    }
}

fn list(title: &str, points: &[String], out: &mut String) -> fmt::Result {
    writeln!(out, "\n## {title}\n")?;
    points.iter().try_for_each(|point| writeln!(out, "- {}", line(point)))
}

/// Text from outside on one line, so that it can neither begin a section nor hide one.
fn line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('<', "&lt;")
}

/// The same within a table.
fn cell(text: &str) -> String {
    line(text).replace('|', "\\|")
}
