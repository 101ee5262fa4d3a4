//! The names of a residual network's parameters, in PyTorch's manner and in ours.
//!
//! Owns the translation of single names, and the list of a network's parameters with their shapes;
//! not which network it is.

use crate::graph::resnet::{Block, ResNetSpec, Shortcut, Stem};

/// What wrappers put before every name: `DataParallel`, `torch.compile`, a training script.
const PREFIXES: [&str; 6] = ["module.", "_orig_mod.", "model.", "net.", "backbone.", "resnet."];

/// What a name of the file stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A parameter, by our name: `stage1.block0.conv1.weights`.
    Parameter(String),
    /// `num_batches_tracked` of a batch normalization.
    Counter,
    /// Nothing that is known.
    Unknown,
}

/// The length of what all names begin with and none of them means.
pub(super) fn prefix_bytes(names: &[&str]) -> usize {
    let mut length = 0;
    let begin = |length, prefix: &str| {
        names.iter().all(|name| name.get(length..).is_some_and(|rest| rest.starts_with(prefix)))
    };
    while let Some(prefix) = PREFIXES.iter().find(|prefix| begin(length, prefix)) {
        // Of no names at all, each begins with anything.
        if names.is_empty() {
            break;
        }
        length += prefix.len();
    }
    length
}

/// What a name without prefix means: torchvision's, timm's or akamaster's.
pub(super) fn meaning(name: &str) -> Meaning {
    let Some((module, field)) = name.rsplit_once('.') else { return Meaning::Unknown };
    if field == "num_batches_tracked" {
        return Meaning::Counter;
    }
    let translated = match module {
        "conv1" => convolution("stem.conv", field),
        "bn1" => normalization("stem.bn", field),
        "fc" | "linear" | "classifier" => match field {
            "weight" => Some("classifier.weights".to_owned()),
            "bias" => Some("classifier.bias".to_owned()),
            _ => None,
        },
        _ => in_block(module, field),
    };
    translated.map_or(Meaning::Unknown, Meaning::Parameter)
}

fn convolution(ours: &str, field: &str) -> Option<String> {
    (field == "weight").then(|| format!("{ours}.weights"))
}

fn normalization(ours: &str, field: &str) -> Option<String> {
    let kind = match field {
        "weight" => "gamma",
        "bias" => "beta",
        "running_mean" => "mean",
        "running_var" => "variance",
        _ => return None,
    };
    Some(format!("{ours}.{kind}"))
}

/// `layer1.0.conv2`, `layer1.0.bn2`, `layer2.0.downsample.0`.
fn in_block(module: &str, field: &str) -> Option<String> {
    let (stage, rest) = module.strip_prefix("layer")?.split_once('.')?;
    let (block, module) = rest.split_once('.')?;
    let [stage, block] = [number(stage)?, number(block)?];
    let ours = format!("stage{stage}.block{block}");
    match module {
        "downsample.0" | "shortcut.0" => convolution(&format!("{ours}.shortcut.conv"), field),
        "downsample.1" | "shortcut.1" => normalization(&format!("{ours}.shortcut.bn"), field),
        "conv1" | "conv2" | "conv3" => convolution(&format!("{ours}.{module}"), field),
        "bn1" | "bn2" | "bn3" => normalization(&format!("{ours}.{module}"), field),
        _ => None,
    }
}

/// A number without leading zeros, so that two names never mean the same.
fn number(digits: &str) -> Option<u32> {
    let number = digits.parse::<u32>().ok()?;
    (number.to_string() == digits).then_some(number)
}

/// The stage and block of our name, both as they are counted there.
pub(super) fn block_of(ours: &str) -> Option<(usize, usize)> {
    let (stage, rest) = ours.strip_prefix("stage")?.split_once('.')?;
    let (block, _) = rest.strip_prefix("block")?.split_once('.')?;
    Some((stage.parse().ok()?, block.parse().ok()?))
}

/// `PyTorch`'s name of our parameter, as torchvision has it.
pub(super) fn theirs(ours: &str) -> String {
    let (node, kind) = ours.rsplit_once('.').unwrap_or((ours, ""));
    let field = match kind {
        "weights" | "gamma" => "weight",
        "bias" | "beta" => "bias",
        "mean" => "running_mean",
        _ => "running_var",
    };
    let module = match (node, block_of(ours)) {
        ("stem.conv", _) => "conv1".to_owned(),
        ("stem.bn", _) => "bn1".to_owned(),
        (_, Some((stage, block))) => {
            let inner = node.splitn(3, '.').nth(2).unwrap_or_default();
            let inner = match inner {
                "shortcut.conv" => "downsample.0",
                "shortcut.bn" => "downsample.1",
                _ => inner,
            };
            format!("layer{stage}.{block}.{inner}")
        }
        _ => "fc".to_owned(),
    };
    format!("{module}.{field}")
}

/// A parameter as `PyTorch` stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expected {
    /// Our name.
    pub(super) ours: String,
    /// `[O,I,KH,KW]` of a convolution.
    pub(super) shape: Vec<usize>,
}

/// All parameters of a network, in the order of its graph. Sizes saturate, so that no file makes
/// them overflow.
pub(super) fn expected(spec: &ResNetSpec) -> Vec<Expected> {
    let mut list = List(Vec::new());
    let kernel = if spec.stem == Stem::Conv3x3 { 3 } else { 7 };
    list.conv_bn("stem", "", [spec.width, spec.input[2]], kernel);
    let mut x = spec.width;
    for (stage, &blocks) in spec.blocks.iter().enumerate() {
        let width = (0..stage).fold(spec.width, |width, _| width.saturating_mul(2));
        let (kernels, channels) = match spec.block {
            Block::Basic => (&[3, 3][..], width),
            Block::Bottleneck { .. } => (&[1, 3, 1][..], width.saturating_mul(4)),
        };
        for block in 0..blocks {
            let name = format!("stage{}.block{block}", stage + 1);
            let changes = (stage > 0 && block == 0) || x != channels;
            let projects = match spec.shortcut {
                Shortcut::Project => changes,
                Shortcut::ProjectAll => true,
                Shortcut::Pad | Shortcut::Plain => false,
            };
            let mut y = x;
            for (index, &kernel) in kernels.iter().enumerate() {
                let last = index + 1 == kernels.len();
                if last && projects {
                    list.conv_bn(&format!("{name}.shortcut"), "", [channels, x], 1);
                }
                let outputs = if last { channels } else { width };
                list.conv_bn(&name, &(index + 1).to_string(), [outputs, y], kernel);
                y = outputs;
            }
            x = channels;
        }
    }
    list.push("classifier.weights".to_owned(), vec![spec.classes, x]);
    list.push("classifier.bias".to_owned(), vec![spec.classes]);
    list.0
}

struct List(Vec<Expected>);

impl List {
    fn push(&mut self, ours: String, shape: Vec<usize>) {
        self.0.push(Expected { ours, shape });
    }

    fn conv_bn(&mut self, name: &str, number: &str, [o, i]: [usize; 2], kernel: usize) {
        self.push(format!("{name}.conv{number}.weights"), vec![o, i, kernel, kernel]);
        for kind in ["gamma", "beta", "mean", "variance"] {
            self.push(format!("{name}.bn{number}.{kind}"), vec![o]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::resnet::{Activation, NAMES, by_name};

    #[track_caller]
    fn check_spec(spec: &ResNetSpec) {
        let graph = spec.build_zeroed().unwrap();
        let built: Vec<Expected> = graph
            .parameters()
            .into_iter()
            .map(|parameter| Expected {
                ours: parameter.name,
                shape: match *parameter.values.shape() {
                    [o, height, width, i] => vec![o, i, height, width],
                    ref other => other.to_vec(),
                },
            })
            .collect();
        assert_eq!(expected(spec), built, "{}", spec.name);
        for Expected { ours, .. } in built {
            assert_eq!(meaning(&theirs(&ours)), Meaning::Parameter(ours));
        }
    }

    #[test]
    fn the_list_is_what_the_builder_makes() {
        for name in NAMES {
            let spec = by_name(name).unwrap();
            // Pre-activation networks have no names that many agree on.
            if spec.activation == Activation::Before {
                continue;
            }
            if spec.blocks.iter().sum::<usize>() < 20 {
                check_spec(&spec);
            }
            for shortcut in [Shortcut::Pad, Shortcut::Project, Shortcut::ProjectAll] {
                check_spec(&ResNetSpec { shortcut, width: 2, ..spec.clone() });
            }
        }
    }

    #[test]
    fn names_of_others_are_unknown() {
        for name in ["conv1", "conv1.bias", "fc.running_mean", "layer1.0.bn4.weight", ""] {
            assert_eq!(meaning(name), Meaning::Unknown, "{name}");
        }
        for name in ["layer01.0.conv1.weight", "layer1.+0.conv1.weight", "layer1.conv1.weight"] {
            assert_eq!(meaning(name), Meaning::Unknown, "{name}");
        }
        assert_eq!(meaning("layer4.2.bn3.num_batches_tracked"), Meaning::Counter);
        let shortcut = Meaning::Parameter("stage3.block1.shortcut.bn.variance".to_owned());
        assert_eq!(meaning("layer3.1.shortcut.1.running_var"), shortcut);
    }

    #[track_caller]
    fn check_prefix(names: &[&str], expected: usize) {
        assert_eq!(prefix_bytes(names), expected, "{names:?}");
    }

    #[test]
    fn a_prefix_is_of_all_names() {
        check_prefix(&[], 0);
        check_prefix(&["conv1.weight"], 0);
        check_prefix(&["module.conv1.weight", "fc.bias"], 0);
        check_prefix(&["module.model.conv1.weight", "module.model.fc.bias"], 13);
        check_prefix(&["module."], 7);
    }
}
