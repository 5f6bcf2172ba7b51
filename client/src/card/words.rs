//! The sentences of a card. [core]

use guildhall_privacy::plan::ModePlan;
use guildhall_shared::job::{JobSpec, PrivacySpec};
use guildhall_shared::model_spec::{Activation, Architecture, ItemEncoder, ItemRanking, SequenceEncoder};
use guildhall_shared::round_parameters::RoundMode;
use guildhall_shared::task::{NextItemSpec, Task};

/// A model family, in words.
pub(super) fn family(architecture: &Architecture) -> String {
    match architecture {
        Architecture::LogisticRegression => "logistic regression".into(),
        Architecture::Mlp { hidden, activation } => {
            let widths: Vec<String> = hidden.iter().map(usize::to_string).collect();
            let activation = match activation {
                Activation::Tanh => "tanh",
                Activation::Relu => "ReLU",
            };
            format!("multi-layer perceptron, hidden layers of {} ({activation})", widths.join(" and "))
        }
        Architecture::Vector => "a bare vector, for measuring rounds".into(),
        Architecture::Sequence(model) => match model.encoder {
            SequenceEncoder::Gru => format!("GRU of width {}", model.width),
            SequenceEncoder::Lstm => format!("LSTM of width {}", model.width),
            SequenceEncoder::Convolution { kernel } => {
                format!("1-D convolution, {} channels, kernel {kernel}", model.width)
            }
        },
        Architecture::ItemStatistics(model) => match model.ranking {
            ItemRanking::Ease { .. } => "item-item model (EASE) from released statistics".into(),
            ItemRanking::Cosine { .. } => "item-item neighbours (cosine) from released statistics".into(),
            ItemRanking::Jaccard { .. } => "item-item neighbours (Jaccard) from released statistics".into(),
            ItemRanking::Popularity => "popularity from released statistics".into(),
        },
        Architecture::MatrixFactorization(model) => {
            format!("matrix factorisation, {} factors; shoppers' factors never leave", model.factors)
        }
        Architecture::NextItem(model) => match model.encoder {
            ItemEncoder::Transformer { blocks, heads, .. } => {
                format!("transformer of {blocks} blocks, {heads} heads, width {}", model.width)
            }
            ItemEncoder::Gru => format!("GRU over items, width {}", model.width),
            ItemEncoder::TwoTower { .. } => format!("two towers, width {}", model.width),
        },
        Architecture::Metrics(_) => "figures of a model that another job released".into(),
    }
}

/// What a task asks.
pub(super) fn question(task: &Task) -> String {
    match task {
        Task::Tabular { .. } => "Will the row's outcome be yes?".into(),
        Task::Repurchase(weeks) | Task::RepurchaseSequence { weeks, .. } => {
            let weeks = weeks.horizon_weeks;
            format!("Will the shopper buy again at this merchant within {weeks} weeks?")
        }
        Task::NextItem(_) => "Which item will the shopper choose next?".into(),
        Task::Dummy { .. } => "Nothing.".into(),
    }
}

/// From what an item model answers.
pub(super) fn item_inputs(items: &NextItemSpec) -> Vec<String> {
    vec![format!(
        "the newest {} items of the shopper, of a public catalogue of {}",
        items.history_max,
        items.catalogue.len()
    )]
}

/// Against whom ε holds.
pub(super) fn adversary(mode: RoundMode, plan: Option<&ModePlan>) -> String {
    match (mode, plan.and_then(|plan| plan.masked.as_ref())) {
        (RoundMode::Masked, Some(masked)) => format!(
            "the server and up to {} colluding merchants, whatever they do, with everything the job ever released; that they read only \
             the sum is computational",
            masked.colluders
        ),
        (RoundMode::Masked, None) => {
            "the server and as many colluding merchants as the job's protocol bears, with everything the job ever released; that they \
             read only the sum is computational"
                .into()
        }
        (RoundMode::LocalNoise, _) => {
            "the server, all other merchants and whoever listens, together, with everything the job ever released".into()
        }
        (RoundMode::MaskedUnprotected, _) => {
            "nobody who reads the model or the sum; masks keep single updates from the server".into()
        }
        (RoundMode::Unprotected, _) => "nobody: the server reads every update".into(),
    }
}

/// What the model is for.
pub(super) fn intended_use(job: &JobSpec) -> Vec<String> {
    let by_task = match &job.task {
        _ if !job.architecture.releases_model() => {
            "To tell merchants how good a model is that another job released. It answers nothing itself."
        }
        Task::Tabular { .. } => "To rank rows like those it was trained on by their chance of the outcome.",
        Task::Repurchase(_) | Task::RepurchaseSequence { .. } => {
            "To rank a merchant's own shoppers by their chance of coming back, for example to decide whom an offer reaches."
        }
        Task::NextItem(_) => "To show a merchant's own shoppers items of the catalogue they may want next.",
        Task::Dummy { .. } => "To measure rounds. It predicts nothing.",
    };
    vec![by_task.into(), "At the merchants of the federation that trained it, by their own programs.".into()]
}

/// What is not claimed, and what the model is not for.
pub(super) fn limits(job: &JobSpec) -> Vec<String> {
    let mut limits: Vec<String> = Vec::new();
    match job.privacy {
        PrivacySpec::None { .. } => limits.push(
            "No noise was added: nothing is promised to shoppers against whoever reads the model. Treat it like the data it was made of."
                .into(),
        ),
        PrivacySpec::Gaussian { .. } => limits.extend(
            [
                "ε is a ceiling that was proved, not the harm that was measured, and it is not nothing. Facts about shoppers in general \
                 are what a model is for, and are learnt.",
                "Not covered by the claim: personal state, that is what a merchant computes from a shopper's own history when it serves \
                 the model; and fine-tuned copies or blends, which a merchant made with its own rows. They stay with the merchant. Whoever \
                 hands one on hands on what it learnt.",
                "ε counts one attempt a round. Further attempts are charged as well; the merchant's ledger has what was spent.",
                "A merchant as a whole is not hidden from somebody who knows all its shoppers. A person under two identifiers at one \
                 merchant has two units.",
                "Noise hurts groups of few shoppers first: look at the figures by activity group before relying on it for them.",
            ]
            .map(String::from),
        ),
    }
    limits.extend(
        [
            "Not for decisions with legal or similarly grave effects on a person, such as credit, prices by person, work or insurance.",
            "Figures say how good it was for those shoppers at that time. For other merchants, countries or seasons they say little.",
            "Explanations say what moved the model's answer, not what moves shoppers.",
            "Technical evidence, not legal advice.",
        ]
        .map(String::from),
    );
    limits
}

/// Where the methods of a job come from.
pub(super) fn sources(job: &JobSpec) -> Vec<String> {
    let mut sources = Vec::new();
    if matches!(job.privacy, PrivacySpec::Gaussian { .. }) {
        sources.extend([
            "Noise: Canonne, Kamath and Steinke 2020 (arXiv 2004.00010); Kairouz, Liu and Steinke 2021 (arXiv 2102.06387)",
            "Accounting: Bun and Steinke 2016 (arXiv 1605.02065)",
        ]);
    }
    if job.adaptive_clip.is_some() {
        sources.push("Clip: Andrew, Thakkar, McMahan and Ramaswamy 2021 (arXiv 1905.03871)");
    }
    sources.extend(match &job.architecture {
        Architecture::Sequence(model) => match model.encoder {
            SequenceEncoder::Gru => Some("Model: Cho et al. 2014 (arXiv 1406.1078)"),
            SequenceEncoder::Lstm => Some("Model: Hochreiter and Schmidhuber 1997"),
            SequenceEncoder::Convolution { .. } => None,
        },
        Architecture::ItemStatistics(model) => match model.ranking {
            ItemRanking::Ease { .. } => Some("Model: Steck 2019 (arXiv 1905.03375)"),
            _ => None,
        },
        Architecture::NextItem(model) => Some(match model.encoder {
            ItemEncoder::Transformer { .. } => "Model: Kang and McAuley 2018 (arXiv 1808.09781)",
            ItemEncoder::Gru => "Model: Hidasi et al. 2016 (arXiv 1511.06939)",
            ItemEncoder::TwoTower { .. } => "Model: Covington, Adams and Sargin 2016",
        }),
        _ => None,
    });
    sources.push("Form of this card: Mitchell et al. 2019 (arXiv 1810.03993)");
    sources.into_iter().map(String::from).collect()
}
