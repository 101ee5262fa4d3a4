//! What the runs of a degradation experiment say: curves over the seeds, and comparisons of their
//! last epochs.
//!
//! Owns the figures and when a difference counts; not runs, and not words for them.

use serde::Serialize;

use super::degradation::Run;
use super::{Family, Network, Spread};
use crate::train::EpochReport;

/// A figure of an epoch. Lower is better in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Mean loss of the epoch's training batches, augmented, each before its step.
    TrainingLoss,
    /// Share of those images that are classified wrongly.
    TrainingError,
    /// Share of the images held out that are classified wrongly.
    ValidationError,
}

impl Metric {
    /// All.
    pub const ALL: [Self; 3] = [Self::TrainingLoss, Self::TrainingError, Self::ValidationError];

    /// Its value in an epoch.
    pub fn of(self, epoch: &EpochReport) -> f64 {
        match self {
            Self::TrainingLoss => epoch.train_loss,
            Self::TrainingError => 1.0 - epoch.train_accuracy,
            // Each run of an experiment holds images out.
            Self::ValidationError => 1.0 - epoch.validation_accuracy.unwrap_or(f64::NAN),
        }
    }
}

/// One epoch of a network over its seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Point {
    /// From 1.
    pub epoch: usize,
    /// As [`Metric::TrainingLoss`].
    pub training_loss: Spread,
    /// As [`Metric::TrainingError`].
    pub training_error: Spread,
    /// As [`Metric::ValidationError`].
    pub validation_error: Spread,
}

impl Point {
    /// A metric by name.
    pub fn get(&self, metric: Metric) -> Spread {
        match metric {
            Metric::TrainingLoss => self.training_loss,
            Metric::TrainingError => self.training_error,
            Metric::ValidationError => self.validation_error,
        }
    }
}

/// A network over its seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Curve {
    /// The network.
    #[serde(flatten)]
    pub network: Network,
    /// Finished runs.
    pub seeds: usize,
    /// Trained parameters.
    pub parameters: u64,
    /// Multiply-accumulates of one image.
    pub macs: u64,
    /// Epoch by epoch.
    pub points: Vec<Point>,
}

/// What a difference is, beside the spread of the seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Higher by more than the spread.
    Above,
    /// No further away than the spread.
    Within,
    /// Lower by more than the spread.
    Below,
    /// There is but one seed, and so no spread.
    OneSeed,
}

/// Two networks at their last epoch, by a metric.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The one: the deeper.
    pub network: Network,
    /// The other.
    pub against: Network,
    /// By what.
    pub metric: Metric,
    /// The one's mean over the seeds less the other's.
    pub difference: f64,
    /// From the lowest to the highest seed: of the two networks, the wider.
    pub spread: f64,
    /// What follows.
    pub verdict: Verdict,
}

/// The networks of `runs`, by depth, the plain one first.
pub fn curves(runs: &[Run]) -> Vec<Curve> {
    let mut networks: Vec<Network> = runs.iter().map(|run| run.key.network).collect();
    networks.sort_by_key(|network| (network.depth, network.family));
    networks.dedup();
    networks.into_iter().map(|network| curve(network, runs)).collect()
}

fn curve(network: Network, runs: &[Run]) -> Curve {
    let runs: Vec<&Run> = runs.iter().filter(|run| run.key.network == network).collect();
    let epochs = runs.iter().map(|run| run.epochs.len()).min().unwrap_or(0);
    let spread = |epoch: usize, metric: Metric| {
        Spread::of(runs.iter().map(|run| metric.of(&run.epochs[epoch])))
    };
    let point = |epoch| Point {
        epoch: epoch + 1,
        training_loss: spread(epoch, Metric::TrainingLoss),
        training_error: spread(epoch, Metric::TrainingError),
        validation_error: spread(epoch, Metric::ValidationError),
    };
    Curve {
        network,
        seeds: runs.len(),
        parameters: runs.first().map_or(0, |run| run.parameters),
        macs: runs.first().map_or(0, |run| run.macs),
        points: (0..epochs).map(point).collect(),
    }
}

/// The deepest against the shallowest network of each family, and the deepest two of both families
/// against each other, by each metric; none of networks that have no run.
pub fn compare(curves: &[Curve]) -> Vec<Comparison> {
    let depths = curves.iter().map(|curve| curve.network.depth);
    let (Some(deepest), Some(shallowest)) = (depths.clone().max(), depths.min()) else {
        return Vec::new();
    };
    let network = |family, depth| Network { family, depth };
    let [plain, residual] = Family::ALL;
    let mut pairs = Vec::new();
    if deepest != shallowest {
        let of = |family| (network(family, deepest), network(family, shallowest));
        pairs.extend(Family::ALL.map(of));
    }
    pairs.push((network(plain, deepest), network(residual, deepest)));
    let find = |network| curves.iter().find(|curve| curve.network == network);
    let pairs = pairs.into_iter().filter_map(|(one, other)| Some((find(one)?, find(other)?)));
    let compared = pairs.flat_map(|(one, other)| {
        Metric::ALL.into_iter().filter_map(move |metric| comparison(one, other, metric))
    });
    compared.collect()
}

fn comparison(one: &Curve, other: &Curve, metric: Metric) -> Option<Comparison> {
    let (a, b) = (one.points.last()?.get(metric), other.points.last()?.get(metric));
    let (difference, spread) = (a.mean - b.mean, a.width().max(b.width()));
    let verdict = match difference {
        _ if one.seeds.min(other.seeds) < 2 => Verdict::OneSeed,
        _ if difference > spread => Verdict::Above,
        _ if difference < -spread => Verdict::Below,
        _ => Verdict::Within,
    };
    let (network, against) = (one.network, other.network);
    Some(Comparison { network, against, metric, difference, spread, verdict })
}
